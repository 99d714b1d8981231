"""The invariants of the schema: triggers of the append-only tables, house accounts of the kinds.

The application's role may read all of it.
"""

from billing.ledger import KIND_RULES
from db.roles import APPEND_ONLY

# As pg_trigger.tgtype: BEFORE UPDATE OR DELETE for each row, and BEFORE TRUNCATE.
_TRIGGERS = {"append_only": 27, "append_only_truncate": 34}

_GUARDS = ", ".join(
    f"('{table}', '{trigger}', {type_})"
    for table in sorted(APPEND_ONLY)
    for trigger, type_ in _TRIGGERS.items()
)
_HOUSE = ", ".join(f"('{kind}', '{rule.house_account}')" for kind, rule in KIND_RULES.items())

SET_CHECKS: list[tuple[str, str]] = [
    (
        # The owner of the tables can disable a trigger, change rows and enable it again. This finds
        # a trigger that stayed disabled, or a restore that went wrong.
        "the append-only tables are guarded by their triggers",
        f"""
SELECT 'all' AS account, format('%s: the trigger %s %s', g.name, g.trigger,
       CASE WHEN t.oid IS NULL THEN 'is missing' WHEN t.tgenabled <> 'A'
            THEN 'is not enabled ALWAYS' ELSE 'does not refuse every change' END) AS detail
  FROM (VALUES {_GUARDS}) AS g(name, trigger, type)
  LEFT JOIN pg_trigger t ON t.tgrelid = to_regclass(g.name) AND t.tgname = g.trigger
  LEFT JOIN pg_proc p ON p.oid = t.tgfoid
 WHERE t.oid IS NULL OR t.tgenabled <> 'A' OR t.tgtype <> g.type OR t.tgqual IS NOT NULL
    OR array_length(t.tgattr, 1) > 0 OR p.proname <> 'refuse_change'
    OR p.prosrc !~ '^\\s*BEGIN\\s+RAISE EXCEPTION'""",
    ),
    (
        "each kind has the house account of its rule",
        f"""
SELECT 'all' AS account, format('kind %s: house account %s, by the rules %s',
       coalesce(r.kind, k.kind), coalesce(k.house_account, 'none'), coalesce(r.house, 'none'))
         AS detail
  FROM (VALUES {_HOUSE}) AS r(kind, house) FULL JOIN transaction_kinds k ON k.kind = r.kind
 WHERE k.house_account IS DISTINCT FROM r.house""",
    ),
]
"""Each invariant, and the query for (account, detail) of everything that breaks it."""
