"""What each role is told at each route: the one place that says who may do what on the pages (R23, R36-R38).

"login" sends to the login page, "mine" to /mijn, "desk" to the front of the desk, "left" to the page after logging out;
303 is done, or a next page. Columns are the roles of ``RESIDENTS`` and ``STAFF``; every address is one of Anna's.
"""

RESIDENTS = ("nobody", "invited", "ben", "look", "limited", "stop", "choose", "anna")
"""Nobody; who says to help her and typed no code; another resident; her helper, who may look, choose about one purpose
(the other one than that of the addresses), stop, or choose; and Anna."""

TABLE = {
    "GET accessibility": "200 200 200 200 200 200 200 200",
    "GET bewijs": "login 403 404 200 404 200 200 200",
    "GET bewijs_bestand": "login 403 404 200 404 200 200 200",
    "GET bewijs_namen": "login 403 404 200 404 200 200 200",
    "GET change": "login 403 200 200 200 200 200 200",
    "GET change_offer": "login 403 200 200 404 200 200 200",
    "GET change_options": "login 403 200 303 200 303 200 200",
    "GET contact": "200 200 200 200 200 200 200 200",
    "GET controle": "200 200 200 200 200 200 200 200",
    "GET controle_plaats": "200 200 200 200 200 200 200 200",
    "GET controle_programma": "200 200 200 200 200 200 200 200",
    "GET controle_samenhang": "200 200 200 200 200 200 200 200",
    "GET download": "login 403 200 200 200 200 200 200",
    "GET download_all": "login 403 200 200 200 200 200 200",
    "GET download_consents": "login 403 200 200 200 200 200 200",
    "GET download_proofs": "login 403 200 200 200 200 200 200",
    "GET erasure": "login 403 200 403 403 403 403 200",
    "GET figures": "200 200 200 200 200 200 200 200",
    "GET home": "200 200 200 200 200 200 200 200",
    "GET how": "200 200 200 200 200 200 200 200",
    "GET invitation": "login 200 login login login login login login",
    "GET kieshulp": "login 403 200 200 303 200 200 200",
    "GET kiezen": "login 403 200 200 200 200 200 200",
    "GET left": "200 200 200 200 200 200 200 200",
    "GET log": "200 200 200 200 200 200 200 200",
    "GET login": "200 200 200 200 200 200 200 200",
    "GET mijn": "login 403 200 200 200 200 200 200",
    "GET mijn_controle": "login 403 200 200 200 200 200 200",
    "GET mijn_controle_keten": "login 403 200 200 200 200 200 200",
    "GET organisatiekaart": "login 403 200 200 200 200 200 200",
    "GET organisation": "200 200 200 200 200 200 200 200",
    "GET organisations": "200 200 200 200 200 200 200 200",
    "GET pauze": "login 403 200 200 200 200 200 200",
    "GET printout": "login 403 200 200 200 200 200 200",
    "GET privacy": "200 200 200 200 200 200 200 200",
    "GET processing": "200 200 200 200 200 200 200 200",
    "GET processing_one": "200 200 200 200 200 200 200 200",
    "GET purposes": "200 200 200 200 200 200 200 200",
    "GET question": "login 403 404 200 200 200 200 200",
    "GET question_new": "login 403 200 200 200 200 200 200",
    "GET question_own": "login 403 404 200 404 200 200 200",
    "GET questions": "login 403 200 200 200 200 200 200",
    "GET recorded": "login 403 404 200 200 200 200 200",
    "GET representative_new": "login 403 200 403 403 403 403 200",
    "GET representatives": "login 403 200 200 200 200 200 200",
    "GET toestemming": "login 403 404 200 404 200 200 200",
    "GET toestemmingen": "login 403 200 200 200 200 200 200",
    "GET uitwisseling": "login 403 404 200 404 200 200 200",
    "GET uitwisselingen": "login 403 200 200 200 200 200 200",
    "GET viewed": "login 403 200 200 200 200 200 200",
    "GET wishes": "login 403 200 200 200 200 200 200",
    "GET wishes_part": "login 403 200 200 200 200 200 200",
    "POST accept": "login 422 login login login login login login",
    "POST change_choose": "login 403 303 403 404 403 303 303",
    "POST change_said": "login 403 303 403 303 403 303 303",
    "POST controle_bestand": "422 422 422 422 422 422 422 422",
    "POST erase": "login 403 200 403 403 403 403 200",
    "POST kiezen_vast": "login 403 303 403 303 403 303 303",
    "POST leave": "left left left left left left left left",
    "POST login_demo": "mine mine mine mine mine mine mine mine",
    "POST organisatiekaart_stop": "login 403 303 403 303 303 303 303",
    "POST pauze_anders": "login 403 303 403 303 303 303 303",
    "POST question_answer": "login 403 404 403 303 403 303 303",
    "POST question_send": "login 403 303 403 422 403 303 303",
    "POST recorded_confirm": "login 403 404 403 403 403 403 303",
    "POST representative_end": "login 403 404 403 403 403 403 303",
    "POST representative_invite": "login 403 200 403 403 403 403 200",
    "POST toestemming_stop": "login 403 404 403 404 303 303 303",
    "POST wishes_save": "login 403 303 403 303 403 303 303",
}

RECORDED: dict[str, set[str]] = {
    "nobody": set(),
    "invited": set(),
    "ben": set(),
    "look": {"record_viewed"},
    "limited": {"record_viewed", "ask_answered", "consent_withdrawn", "preferences_set", "sharing_paused"},
    "stop": {"record_viewed", "consent_withdrawn", "sharing_paused", "stop_use_noticed"},
    "choose": {
        *("record_viewed", "ask_answered", "consent_granted", "consent_refused", "consent_withdrawn"),
        *("preferences_set", "question_asked", "sharing_paused", "stop_use_noticed"),
    },
    "anna": {
        *("record_viewed", "ask_answered", "grant_confirmed", "consent_granted", "consent_refused"),
        *("consent_withdrawn", "preferences_set", "question_asked", "sharing_paused", "stop_use_noticed"),
        *("representative_added", "representative_ended"),
    },
}
"""What a whole walk leaves in Anna's record before anybody erases anything: kinds of events."""

STAFF = ("nobody", "staff", "of ben", "of anna")
"""At the desk: nobody, staff without a case, with a case of Ben's, and with Anna's."""

DESK_TABLE = {
    "GET desk": "login 200 303 303",
    "GET desk_case": "desk desk 200 200",
    "GET desk_choice": "desk desk 200 200",
    "GET desk_letter": "desk desk 404 200",
    "GET desk_login": "200 200 200 200",
    "POST desk_close": "login desk desk desk",
    "POST desk_code": "desk desk 422 303",
    "POST desk_leave": "login login login login",
    "POST desk_login_demo": "desk desk desk desk",
    "POST desk_open": "login 303 303 303",
    "POST desk_pause": "desk desk 303 303",
    "POST desk_record": "desk desk 422 422",
    "POST desk_stop": "desk desk 404 303",
}

DESK_RECORDED: dict[str, set[str]] = {
    "nobody": set(),
    "staff": set(),
    "of ben": set(),
    "of anna": {"attempt_refused", "consent_withdrawn", "presence_code_issued", "sharing_paused", "stop_use_noticed"},
}
"""As ``RECORDED``, before another case is opened."""
