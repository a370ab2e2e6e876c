-- add_chord: a group whose results somebody waits for. An id that is taken keeps its row.
INSERT INTO jobs_chord (id, size, members) VALUES (%(id)s, %(size)s, %(members)s) ON CONFLICT (id) DO NOTHING
