-- patience: how long this transaction waits for a lock from now on; returns how long it waited until now.
SELECT current_setting('lock_timeout'), set_config('lock_timeout', %(timeout)s, true)
