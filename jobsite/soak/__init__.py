"""`manage.py soak`: a fleet of its own under faults, and a ledger outside the database that says what really ran."""
