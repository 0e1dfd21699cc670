"""`manage.py demo`: the site and a stand-in for Certn, up and running with nothing set up."""
