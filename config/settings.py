"""Every setting of Jirani, read from the environment alone. docs/operations.md lists each one."""

from datetime import timedelta
from pathlib import Path

import environ

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# --- the process -----------------------------------------------------------------------------------------
DEBUG = env.bool("DEBUG", default=False)
SECRET_KEY = env.str("SECRET_KEY")
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["127.0.0.1", "localhost"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
JIRANI_VAR = Path(env.str("JIRANI_VAR", default=str(BASE_DIR / "var")))
PUBLIC_BASE_URL = env.str("PUBLIC_BASE_URL", default="http://127.0.0.1:8000").rstrip("/")
LOG_LEVEL = env.str("LOG_LEVEL", default="INFO")

# --- secrets of ours: they live outside the database, so that a copy of it alone opens nothing ----------
PIN_PEPPER = env.str("PIN_PEPPER")
FIELD_KEY = env.str("FIELD_KEY")  # encrypts national IDs
INDEX_KEY = env.str("INDEX_KEY")  # blind index over national IDs
CALLBACK_KEY = env.str("CALLBACK_KEY")  # tokens in callback addresses, hop fingerprints

# --- the country and its money --------------------------------------------------------------------------
COUNTRY = env.str("COUNTRY", default="KE")
# What the phone offers, the usual one first.
PRODUCTS = env.list("PRODUCTS", default=["jirani-30", "jirani-14", "jirani-weekly"])
# Which of PAYMENT_PROVIDERS serves the wallet of the country's customers.
PAYMENT_PROVIDER = env.str("PAYMENT_PROVIDER", default="daraja")
TIME_ZONE = env.str("TIME_ZONE", default="Africa/Nairobi")
USE_TZ = True

INSTALLED_APPS = [
    "unfold",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_celery_beat",
    "lending",
    "scoring",
    "ussd",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "config.bodies.answered",
]

ROOT_URLCONF = "config.urls"
# Of each process of the web server. A hop that waits for a decision holds one for two seconds.
WEB_THREADS = env.int("WEB_THREADS", default=16)
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
STATIC_ROOT = JIRANI_VAR / "static"
WHITENOISE_USE_FINDERS = True
WHITENOISE_AUTOREFRESH = DEBUG

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        # Named, so that they come before those of the admin's theme, of which one is replaced.
        "DIRS": [BASE_DIR / "lending/templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]

DATABASES = {"default": env.db_url("DATABASE_URL")}
DATABASES["default"]["CONN_MAX_AGE"] = env.int("DATABASE_CONN_MAX_AGE", default=600)
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True

REDIS_URL = env.str("REDIS_URL")
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": REDIS_URL,
        "OPTIONS": {"socket_timeout": 1, "socket_connect_timeout": 1},
    }
}

AUTH_PASSWORD_VALIDATORS = [
    {
        "NAME": "django.contrib.auth.password_validation.MinimumLengthValidator",
        "OPTIONS": {"min_length": 12},
    },
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
SECURE_CONTENT_TYPE_NOSNIFF = True
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = env.bool("SECURE_COOKIES", default=not DEBUG)
CSRF_COOKIE_SECURE = SESSION_COOKIE_SECURE
SESSION_COOKIE_AGE = int(timedelta(hours=8).total_seconds())
# The body of a hop or a callback is small; anything larger is not taken in.
DATA_UPLOAD_MAX_MEMORY_SIZE = 256 * 1024
DATA_UPLOAD_MAX_NUMBER_FIELDS = 200

LANGUAGE_CODE = "en"
# What officers read; customers have languages of their own.
LANGUAGES = [("en", "English")]
SPOKEN_LANGUAGES = [
    ("en", "English"),
    ("sw", "Kiswahili"),
    ("fr", "Français"),
    ("lg", "Luganda"),
    ("ha", "Hausa"),
    ("am", "አማርኛ"),
]
USE_I18N = True
FORMAT_MODULE_PATH = ["config.formats"]
LOCALE_PATHS = [BASE_DIR / "ussd" / "text"]

# --- Celery: PostgreSQL holds the truth, a task message only shortens the wait ---------------------------
CELERY_BROKER_URL = REDIS_URL
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_TIME_LIMIT = 120
CELERY_TASK_SOFT_TIME_LIMIT = 100
# No task may outlive half of this, else Redis hands it to a second worker while the first still runs.
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": 300,
    "socket_timeout": 5,
    "socket_connect_timeout": 2,
    "unacked_restore_throttle": 1,
    "max_retries": 1,  # publishing gives up at once: the sweeper finds the row
}
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULER = "django_celery_beat.schedulers:DatabaseScheduler"
# What load_fixtures loads beyond the tables of lending.
ALSO_LOADED = ("config.schedule.load_schedule", "ussd.campaigns.load")
CELERY_TIMEZONE = TIME_ZONE
# On the path `keras` a child of the scoring worker imports TensorFlow before it says that it is up; after the
# default of four seconds Celery would kill it, and the next, and the next.
CELERY_WORKER_PROC_ALIVE_TIMEOUT = 120
CELERY_WORKER_HIJACK_ROOT_LOGGER = False

# --- what lending asks of the world, by dotted path (lending/ports.py) ----------------------------------
PAYMENT_PROVIDERS = {"daraja": "lending.payments.providers.daraja.provider"}
CREDIT_SCORER = "scoring.decide.scorer"
DECISION_ACCOUNT = "scoring.account.account_of"
FORGETTERS = ["ussd.forgetting.forget"]
SIM_CHECK = "lending.ports.sim_change_unknown"
IDENTITY_CHECK = "lending.services.people.accept_well_formed_identity"
# Topic of an outbox row -> (function that handles it, queue whose workers are woken for it).
OUTBOX_HANDLERS = {
    "application_submitted": ("lending.services.applications.decide_from_outbox", "scoring"),
    "application_decided": ("ussd.notices.send_notice", "messages"),
    "loan_disbursed": ("ussd.notices.send_notice", "messages"),
    "disbursement_failed": ("ussd.notices.send_notice", "messages"),
    "repayment_received": ("ussd.notices.send_notice", "messages"),
    "repayment_undone": ("ussd.notices.send_notice", "messages"),
    "repayment_not_made": ("ussd.notices.send_notice", "messages"),
    "paid_for_another": ("ussd.notices.send_notice", "messages"),
    "savings_did_not_pay": ("ussd.notices.send_notice", "messages"),
    "promise_made": ("ussd.notices.send_notice", "messages"),
    "loan_changed": ("ussd.notices.send_notice", "messages"),
    "plan_wish": ("ussd.notices.send_notice", "messages"),
    "dates_stay": ("ussd.notices.send_notice", "messages"),
    "refund_given": ("ussd.notices.send_notice", "messages"),
    "refund_failed": ("ussd.notices.send_notice", "messages"),
    "bureau_notice": ("ussd.notices.send_notice", "messages"),
    "repayment_reminder": ("ussd.notices.send_notice", "messages"),
    "campaign": ("ussd.notices.send_notice", "messages"),
    "limit_raise_offered": ("ussd.notices.send_notice", "messages"),
    "pin_locked": ("ussd.notices.send_notice", "messages"),
    "pin_reset": ("ussd.notices.send_notice", "messages"),
    "request_taken": ("ussd.notices.send_notice", "messages"),
    "request_taken_up": ("ussd.notices.send_notice", "messages"),
    "request_answered": ("ussd.notices.send_notice", "messages"),
    "kin_asked": ("ussd.notices.send_notice", "messages"),
    "newcomer_invited": ("ussd.notices.send_notice", "messages"),
    "agent_decided": ("ussd.notices.send_notice", "messages"),
    "erasure_asked": ("lending.services.erasing.erase_from_outbox", "messages"),
    "data_copy": ("ussd.notices.send_notice", "messages"),
    "deposit_received": ("ussd.notices.send_notice", "messages"),
    "deposit_kept": ("ussd.notices.send_notice", "messages"),
    "savings_paid_out": ("ussd.notices.send_notice", "messages"),
    "savings_not_paid_out": ("ussd.notices.send_notice", "messages"),
    "group_joined": ("ussd.notices.send_notice", "messages"),
    "group_asked": ("ussd.notices.send_notice", "messages"),
    "group_decided": ("ussd.notices.send_notice", "messages"),
    "savings_version_approved": ("lending.services.savings_notices.tell_savers", "messages"),
    "savings_terms_change": ("ussd.notices.send_notice", "messages"),
    "sms_due": ("ussd.sms.send_from_outbox", "messages"),
}

# --- Africa's Talking -----------------------------------------------------------------------------------
AFRICASTALKING_SECRET = env.str("AFRICASTALKING_SECRET")
AFRICASTALKING_USERNAME = env.str("AFRICASTALKING_USERNAME", default="sandbox")
AFRICASTALKING_API_KEY = env.str("AFRICASTALKING_API_KEY", default="")
AFRICASTALKING_BASE_URL = env.str("AFRICASTALKING_BASE_URL", default="https://api.africastalking.com")
USSD_CODE = env.str("USSD_CODE", default="*384*77#")
SMS_SHORT_CODE = env.str("SMS_SHORT_CODE", default="20384")

# --- other USSD gateways: one without a secret is not served (docs/gateways.md) --------------------------
HUBTEL_SECRET = env.str("HUBTEL_SECRET", default="")
INFOBIP_SECRET = env.str("INFOBIP_SECRET", default="")
NALO_SECRET = env.str("NALO_SECRET", default="")
ARKESEL_SECRET = env.str("ARKESEL_SECRET", default="")
GENERIC_GATEWAY_SECRET = env.str("GENERIC_GATEWAY_SECRET", default="")
GENERIC_GATEWAY = env.str("GENERIC_GATEWAY", default="")
REFUSE_FLOODS = env.bool("REFUSE_FLOODS", default=True)

# --- Daraja ---------------------------------------------------------------------------------------------
DARAJA_SECRET = env.str("DARAJA_SECRET")
DARAJA_BASE_URL = env.str("DARAJA_BASE_URL", default="https://api.safaricom.co.ke").rstrip("/")
DARAJA_CONSUMER_KEY = env.str("DARAJA_CONSUMER_KEY", default="")
DARAJA_CONSUMER_SECRET = env.str("DARAJA_CONSUMER_SECRET", default="")
DARAJA_PASSKEY = env.str("DARAJA_PASSKEY", default="")
DARAJA_INITIATOR = env.str("DARAJA_INITIATOR", default="jirani")
DARAJA_SECURITY_CREDENTIAL = env.str("DARAJA_SECURITY_CREDENTIAL", default="")
DARAJA_B2C_SHORTCODE = env.str("DARAJA_B2C_SHORTCODE", default="600100")
DARAJA_PAYBILL = env.str("DARAJA_PAYBILL", default="600200")
# Where customers pay to, at the provider of the country.
PAYBILL = {"daraja": DARAJA_PAYBILL}[PAYMENT_PROVIDER]

# --- the phone in the browser, for demo and development only --------------------------------------------
PHONE_SIMULATOR = env.bool("PHONE_SIMULATOR", default=False)
SANDBOX_URL = env.str("SANDBOX_URL", default="http://127.0.0.1:8100").rstrip("/")

# --- scoring --------------------------------------------------------------------------------------------
MODELS_DIR = Path(env.str("MODELS_DIR", default=str(JIRANI_VAR / "models")))
# How a model answers: `tables`, NumPy alone, or `keras` (ml/predict.py).
SERVING_PATH = env.str("SERVING_PATH", default="tables")
# False: the computer approves nothing by itself; officers stop it for a time with `manage.py stop_lending`.
COMPUTER_APPROVES = env.bool("COMPUTER_APPROVES", default=True)
# Of the code, for the manifests of the models that it trains; an image has no git to ask.
CODE_COMMIT = env.str("CODE_COMMIT", default="")
# A challenger scores so many live decisions for so many hours before it serves.
SHADOW_HOURS = env.float("SHADOW_HOURS", default=24)
SHADOW_DECISIONS = env.int("SHADOW_DECISIONS", default=200)
# With fewer decisions after so many days, two people decide.
SHADOW_DAYS_AT_MOST = env.float("SHADOW_DAYS_AT_MOST", default=7)
# The risk limit. A challenger that would change the share approved by more, or lend more, needs two people.
PROMOTE_ALONE_POINTS = env.float("PROMOTE_ALONE_POINTS", default=3)
PROMOTE_ALONE_EXPOSURE_PERCENT = env.float("PROMOTE_ALONE_EXPOSURE_PERCENT", default=10)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {"hide_addresses": {"()": "config.logs.HideGatewayAddresses"}},
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": LOG_LEVEL},
    "loggers": {
        # Every refused request is logged with its path, and runserver logs each one.
        "django.request": {"filters": ["hide_addresses"]},
        "django.server": {"handlers": ["console"], "filters": ["hide_addresses"]},
        # httpx logs whole addresses at INFO, and ours carry tokens.
        "httpx": {"level": "WARNING"},
        "httpcore": {"level": "WARNING"},
    },
}

# --- the officers' rooms (lending/admin/) ---------------------------------------------------------------
LOGIN_URL = "admin:login"
LOGIN_REDIRECT_URL = "admin:index"
UNFOLD = {
    "SITE_TITLE": "Jirani",
    "SITE_HEADER": "Jirani",
    "SITE_SUBHEADER": "Loan officers",
    "SITE_SYMBOL": "storefront",
    "SITE_URL": "/admin/",
    "SHOW_HISTORY": False,  # the trail of acts is our own, and append-only
    "SHOW_VIEW_ON_SITE": False,
    "DASHBOARD_CALLBACK": "lending.admin.dashboard.dashboard",
    "SIDEBAR": {"navigation": "lending.admin.navigation.sidebar"},
    "COLORS": {
        "primary": {
            "50": "#effaf4",
            "100": "#d8f3e4",
            "200": "#b3e6cc",
            "300": "#80d2ad",
            "400": "#4bb88a",
            "500": "#289c6f",
            "600": "#1a7d59",
            "700": "#156449",
            "800": "#13503b",
            "900": "#114232",
            "950": "#08251c",
        }
    },
}
