"""The outside world on loopback: a mobile-money operator, an SMS and USSD aggregator, and the phones.

It runs as a process of its own (`python -m sandbox`), speaks the real protocols and imports nothing of the
product, so what works against it differs from production only by base URLs.
"""
