"""Who the borrowers of the demo are: names, numbers, occupations and habits."""

from dataclasses import dataclass
from random import Random

import numpy as np
import numpy.typing as npt

from lending.demo.story import Person

Array = npt.NDArray[np.float64]

_WOMEN = (
    "Achieng Akinyi Amina Anyango Atieno Beatrice Caroline Chebet Chelangat Cheptoo Esther Faith Fatuma "
    "Grace Halima Jane Joyce Kemunto Lucy Makena Mary Mercy Moraa Mumbua Mwende Naliaka Nasimiyu Nekesa "
    "Njeri Nyambura Purity Rehema Rose Ruth Salome Wairimu Wambui Wangari Wanjiru Winnie Zainab"
)
_MEN = (
    "Abdi Ali Barasa Brian Collins Daniel David Dennis Evans Francis George Hassan Isaac James John "
    "Joseph Juma Kamau Kennedy Kevin Kiprono Kipchumba Maina Mohamed Musa Mutua Mwangi Ochieng Odhiambo "
    "Omondi Onyango Otieno Paul Peter Samuel Simiyu Stephen Titus Victor Wafula Wycliffe"
)
_FAMILIES = (
    "Abdullahi Barasa Chepkoech Cherono Gathoni Gitau Kamau Kariuki Karanja Kibet Kilonzo Kimani Kiplagat "
    "Kiptoo Koech Korir Langat Lekishon Macharia Makokha Maina Mbugua Mohamed Muli Muriithi Musyoka Mutai "
    "Mutiso Mutua Mwangi Mwita Ndungu Ng'ang'a Njoroge Nyaga Nyongesa Ochieng Odhiambo Oduor Okello Okoth "
    "Omar Omondi Onyango Otieno Ouma Owino Rotich Simiyu Wafula Wambua Wanjala Wanyama Wekesa Yusuf"
)

WOMEN, MEN, FAMILIES = _WOMEN.split(), _MEN.split(), _FAMILIES.split()

# The blocks of numbers that Safaricom hands out, after 254.
PREFIXES = (*range(700, 730), *range(740, 750), *range(757, 760), 768, 769, *range(790, 800))
# Numbers 254711000xxx stay free: they are for people who register live.
RESERVED = "254711000"
BRIAN = Person(
    msisdn="254711000002",
    full_name="Brian Otieno",
    national_id="27114502",
    language="en",
    consents={"service": True, "scoring": True, "wallet": True, "bureau": True, "marketing": False},
)


@dataclass(frozen=True)
class Occupation:
    """How a living comes in. Seasons are the share of a usual month, January first.

    volatility: of weekly income, as a log deviation. swing: how far the living drifts over months. inflows: a week,
    into the wallet. hours: when the wallet moves, from and to, local.
    """

    name: str
    share: float
    monthly_cents: int
    seasons: tuple[float, ...]
    volatility: float
    swing: float
    inflows: float
    hours: tuple[float, float]
    month_end: bool = False
    feels_drought: float = 1.0


OCCUPATIONS = (
    # Maize in July to September and again in January; the months before a harvest are lean.
    Occupation("farmer", 0.18, 17_000_00, (1.5, 1.2, 0.7, 0.6, 0.5, 0.6, 1.3, 1.8, 1.6, 0.9, 0.6, 0.7),
               0.45, 0.28, 0.75, (6, 20), feels_drought=0.45),
    Occupation("market trader", 0.25, 24_000_00, (0.75, 0.9, 1.0, 1.0, 0.95, 1.0, 1.0, 1.05, 0.95, 1.0, 1.1, 1.4),
               0.30, 0.26, 1.15, (6, 21), feels_drought=0.8),
    # Buys stock before dawn, sells by noon: borrows at three in the morning and is as good as any.
    Occupation("night trader", 0.08, 27_000_00, (0.85, 0.95, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.05, 1.25),
               0.25, 0.22, 1.2, (1, 6), feels_drought=0.8),
    Occupation("boda rider", 0.17, 20_000_00, (0.9, 1.0, 1.0, 0.85, 0.85, 1.0, 1.0, 1.05, 1.0, 1.0, 0.95, 1.25),
               0.28, 0.26, 1.25, (6, 23)),
    Occupation("salaried", 0.12, 34_000_00, (1.0,) * 12, 0.08, 0.10, 0.6, (7, 21), month_end=True),
    Occupation("casual worker", 0.14, 13_000_00, (0.8, 0.9, 1.2, 1.25, 1.0, 0.9, 0.9, 1.0, 0.95, 1.0, 1.15, 1.0),
               0.45, 0.32, 0.9, (6, 21)),
    # The small fish of the lake rest from April to July.
    Occupation("fisher", 0.06, 19_000_00, (1.15, 1.15, 1.1, 0.6, 0.55, 0.6, 0.8, 1.1, 1.2, 1.2, 1.2, 1.2),
               0.40, 0.28, 0.9, (3, 19)),
)  # fmt: skip


@dataclass(frozen=True)
class Population:
    """Everybody's lasting traits, one number a person.

    discipline: 0..1, remembers and wants to repay. tightness: share of a usual income that living takes.
    saver: 0..1, 0 for none. forgetful: days late although the money is there. wants: a usual loan as a share of a
    month's income. plan: honest, vanishes (with the first loan), or busts out (small clean loans, then the top).
    """

    people: list[Person]
    occupation: npt.NDArray[np.int64]
    region: npt.NDArray[np.int64]
    monthly_cents: Array
    discipline: Array
    tightness: Array
    saver: Array
    forgetful: npt.NDArray[np.bool_]
    part_payer: npt.NDArray[np.bool_]
    has_children: npt.NDArray[np.bool_]
    wants: Array
    eagerness: Array
    visibility: Array
    plan: list[str]

    def __len__(self) -> int:
        return len(self.people)


def populate(count: int, rng: np.random.Generator, luck: Random) -> Population:
    """Draw `count` people; the first is always Brian Otieno, who is honest and pays on time."""
    shares = np.array([one.share for one in OCCUPATIONS])
    occupation = rng.choice(len(OCCUPATIONS), size=count, p=shares / shares.sum())
    occupation[0] = 1
    usual = np.array([one.monthly_cents for one in OCCUPATIONS], dtype=float)[occupation]
    saver = np.where(rng.random(count) < 0.42, rng.beta(2, 2, count), 0.0)
    discipline = np.clip(rng.beta(3.0, 1.6, count) + 0.16 * saver - 0.03, 0, 1)
    plan = rng.choice(["honest", "vanishes", "busts out"], size=count, p=[0.965, 0.012, 0.023])
    plan[0], discipline[0], saver[0] = "honest", 1.0, 0.8
    return Population(
        people=[BRIAN, *(_person(luck, number) for number in _numbers(count - 1, luck))],
        occupation=occupation,
        region=rng.integers(0, 5, count),
        monthly_cents=usual * np.exp(rng.normal(0, 0.35, count)),
        discipline=discipline,
        tightness=np.clip(rng.normal(0.80, 0.09, count) - 0.10 * saver, 0.5, 0.97),
        saver=saver,
        forgetful=rng.random(count) < 0.12,
        part_payer=rng.random(count) < 0.30,
        has_children=rng.random(count) < 0.6,
        wants=np.clip(np.exp(rng.normal(-1.35, 0.45, count)), 0.05, 0.9),
        eagerness=rng.gamma(2.2, 0.45, count) + 0.15,
        visibility=rng.uniform(0.55, 0.95, count),
        plan=[str(one) for one in plan],
    )


def _numbers(count: int, luck: Random) -> list[tuple[str, str]]:
    """Return so many distinct pairs of phone number and national ID."""
    msisdns: dict[str, None] = {}
    while len(msisdns) < count:
        msisdn = f"254{luck.choice(PREFIXES)}{luck.randrange(1_000_000):06d}"
        if not msisdn.startswith(RESERVED):
            msisdns[msisdn] = None
    ids = [str(number) for number in luck.sample(range(20_000_000, 39_999_999), count)]
    return list(zip(msisdns, ids, strict=True))


def _person(luck: Random, number: tuple[str, str]) -> Person:
    first = luck.choice(WOMEN if luck.random() < 0.55 else MEN)
    return Person(
        msisdn=number[0],
        full_name=f"{first} {luck.choice(FAMILIES)}",
        national_id=number[1],
        language="sw" if luck.random() < 0.55 else "en",
        consents={
            "service": True,
            "scoring": True,
            "wallet": luck.random() < 0.9,
            "bureau": luck.random() < 0.7,
            "marketing": luck.random() < 0.4,
        },
    )
