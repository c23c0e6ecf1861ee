"""`regie doctor`: what is wrong with a home and the roles it reaches, and how to mend it. Nothing is changed."""
