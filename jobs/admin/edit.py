"""Run a finished job again with other arguments, from a form of its own."""

import json
from typing import Any
from uuid import UUID

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from ..errors import InvalidJob, JobNotFound
from ..models import Job
from ..queries import find_job
from ..submit import resubmit
from .operator import operator, reason_of
from .requeue import REASON_LENGTH, RequeueAdmin, told


class ArgumentsForm(forms.Form):
    args = forms.CharField(label="args", widget=forms.Textarea(attrs={"rows": 6, "cols": 80}))
    kwargs = forms.CharField(label="kwargs", widget=forms.Textarea(attrs={"rows": 8, "cols": 80}))
    reason = forms.CharField(required=False, max_length=REASON_LENGTH, widget=forms.TextInput(attrs={"size": 60}))

    def clean_args(self) -> list:
        return _parsed(self.cleaned_data["args"], list, 'a JSON array, as [1, "two"]')

    def clean_kwargs(self) -> dict:
        return _parsed(self.cleaned_data["kwargs"], dict, 'a JSON object, as {"name": 1}')


class EditAdmin(RequeueAdmin):
    """Adds the page “Edit and requeue” for those who hold `jobs.requeue_job`."""

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_edit"
        view = self.admin_site.admin_view(self.edit_view)
        return [path("<uuid:job_id>/edit/", view, name=name), *super().get_urls()]

    def edit_view(self, request: HttpRequest, job_id: UUID) -> HttpResponse:
        if not (self.has_view_permission(request) and self.has_requeue_permission(request)):
            raise PermissionDenied
        page = HttpResponseRedirect(reverse("admin:jobs_job_change", args=[job_id]))
        try:
            job = find_job(job_id)
        except JobNotFound:
            return page
        form = ArgumentsForm(
            request.POST or None, initial={"args": _indented(job.args), "kwargs": _indented(job.kwargs)}
        )
        if request.method == "POST" and form.is_valid() and (moved := self._resubmit(request, job, form)) is not None:
            self.message_user(request, told(job_id, bool(moved)), messages.SUCCESS if moved else messages.WARNING)
            return page
        context = {
            **self.admin_site.each_context(request),
            "title": "Edit and requeue",
            "opts": self.opts,
            "job": job,
            "form": form,
        }
        return TemplateResponse(request, "admin/jobs/job/edit.html", context)

    def _resubmit(self, request: HttpRequest, job: Job, form: ArgumentsForm) -> int | None:
        """1 if it moved, 0 if it could not any more, None when the arguments are refused."""
        given: dict[str, Any] = form.cleaned_data
        try:
            moved = resubmit(job, given["args"], given["kwargs"], reason=reason_of(request), **operator(request))
        except InvalidJob as error:
            form.add_error(getattr(error, "field", None), str(error))
            return None
        return int(moved)


def _parsed(text: str, kind: type, expected: str) -> Any:
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise forms.ValidationError(f"This is no JSON: {error}. Expected {expected}.") from error
    if not isinstance(value, kind):
        raise forms.ValidationError(f"Expected {expected}.")
    return value


def _indented(text: str) -> str:
    try:
        return json.dumps(json.loads(text), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return text
