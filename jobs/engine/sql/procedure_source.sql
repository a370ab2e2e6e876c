-- procedure_source: what a procedure of this name does, as it was written; no row: there is none.
SELECT prosrc FROM pg_proc WHERE proname = %(name)s AND pg_function_is_visible(oid)
