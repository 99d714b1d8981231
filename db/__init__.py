"""PostgreSQL: the session (the only commit), the tables, the inbox and the migrations."""
