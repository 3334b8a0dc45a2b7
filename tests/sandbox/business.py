"""A small honest client of the operator, as a lender would write it, for the sandbox's own tests."""

import base64
import itertools

import httpx

PASSKEY, PAYOUTS, PAYBILL = "pass-key", "600100", "600200"
B2C_PATH = "/mpesa/b2c/v3/paymentrequest"
STK_PATH = "/mpesa/stkpush/v1/processrequest"
STK_QUERY_PATH = "/mpesa/stkpushquery/v1/query"
STATUS_PATH = "/mpesa/transactionstatus/v1/query"
TIMESTAMP = "20261123221500"


class Business:
    """Calls the operator with a fresh token; every keyword changes a field of the request."""

    numbers = itertools.count(1)

    def __init__(self, base_url: str, callbacks: str) -> None:
        self.callbacks = callbacks
        self.http = httpx.Client(base_url=base_url, timeout=10, trust_env=False)
        self.renew()

    def renew(self) -> str:
        grant = {"grant_type": "client_credentials"}
        answer = self.http.get("/oauth/v1/generate", params=grant, auth=("consumer", "consumer-pass"))
        self.token = answer.json()["access_token"]
        return self.token

    def call(self, path: str, body: dict) -> httpx.Response:
        return self.http.post(path, json=body, headers={"Authorization": f"Bearer {self.token}"})

    def new_id(self) -> str:
        return f"attempt-{next(self.numbers)}-{id(self)}"

    def pay_out(self, msisdn: str, shillings: int = 500, **changes) -> httpx.Response:
        body = {
            "OriginatorConversationID": self.new_id(),
            "InitiatorName": "jirani",
            "SecurityCredential": "c2VjcmV0LWNyZWRlbnRpYWw=",
            "CommandID": "BusinessPayment",
            "Amount": shillings,
            "PartyA": PAYOUTS,
            "PartyB": msisdn,
            "Remarks": "Loan",
            "QueueTimeOutURL": f"{self.callbacks}/b2c/timeout",
            "ResultURL": f"{self.callbacks}/b2c/result",
            "Occassion": "",
        }
        return self.call(B2C_PATH, body | changes)

    def ask_to_pay(self, msisdn: str, shillings: int = 500, **changes) -> httpx.Response:
        body = self.signed() | {
            "TransactionType": "CustomerPayBillOnline",
            "Amount": shillings,
            "PartyA": msisdn,
            "PartyB": PAYBILL,
            "PhoneNumber": msisdn,
            "CallBackURL": f"{self.callbacks}/stk",
            "AccountReference": "LOAN7",
            "TransactionDesc": "Repayment",
        }
        return self.call(STK_PATH, body | changes)

    def signed(self) -> dict[str, str]:
        password = base64.b64encode(f"{PAYBILL}{PASSKEY}{TIMESTAMP}".encode()).decode()
        return {"BusinessShortCode": PAYBILL, "Password": password, "Timestamp": TIMESTAMP}

    def prompt_status(self, checkout_id: str) -> httpx.Response:
        return self.call(STK_QUERY_PATH, self.signed() | {"CheckoutRequestID": checkout_id})

    def enquire(self, path: str, command: str, **changes) -> httpx.Response:
        body = {
            "Initiator": "jirani",
            "SecurityCredential": "c2VjcmV0LWNyZWRlbnRpYWw=",
            "CommandID": command,
            "PartyA": PAYOUTS,
            "IdentifierType": "4",
            "ResultURL": f"{self.callbacks}/status/result",
            "QueueTimeOutURL": f"{self.callbacks}/status/timeout",
            "Remarks": "Asking",
            "Occasion": "",
        }
        return self.call(path, body | changes)

    def status_of(self, **changes) -> httpx.Response:
        return self.enquire(STATUS_PATH, "TransactionStatusQuery", **{"TransactionID": ""} | changes)

    def register(self, *, version: int = 2, response_type: str = "Completed") -> httpx.Response:
        body = {
            "ShortCode": PAYBILL,
            "ResponseType": response_type,
            "ConfirmationURL": f"{self.callbacks}/c2b/confirmation",
            "ValidationURL": f"{self.callbacks}/c2b/validation",
        }
        return self.call(f"/mpesa/c2b/v{version}/registerurl", body)


def values(pairs: dict, kind: str = "Key") -> dict:
    """Return Key and Value (or Name and Value) pairs as a dict; a pair without Value gives None."""
    return {pair[kind]: pair.get("Value") for pair in pairs}


def parameters(result: dict) -> dict:
    """Return the result parameters of an asynchronous result."""
    return values(result["Result"]["ResultParameters"]["ResultParameter"])


def metadata(callback: dict) -> dict:
    """Return the metadata of an STK callback."""
    return values(callback["Body"]["stkCallback"]["CallbackMetadata"]["Item"], "Name")
