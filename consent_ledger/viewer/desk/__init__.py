"""The desk (R36, R37): staff helps a resident on an origin of its own, with a case per resident and no other pages.

Staff stops and pauses alone. What lets more happen needs the code that the resident gets; the ledger refuses the rest,
whatever these pages do, and shows the resident who tried (consent_ledger/authority.py).
"""
