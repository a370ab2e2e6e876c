-- stop_beat: a beat that stops leaves; so do those that have said nothing for a day.
DELETE FROM schedules_beat WHERE name = %(name)s OR ticked_at < clock_timestamp() - interval '1 day'
