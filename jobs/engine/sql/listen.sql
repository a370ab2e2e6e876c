-- listen: be woken by `wake`.
LISTEN jobs_ready
