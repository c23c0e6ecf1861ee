"""The exchange of signals: submit, the sealed inbox, delivery."""
