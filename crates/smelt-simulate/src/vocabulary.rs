//! The words of the shop: places, people, products, and the statuses that things pass through.

/// A country the shop delivers to.
#[derive(Debug)]
pub(crate) struct Country {
    pub(crate) code: &'static str,
    pub(crate) currency: Currency,
    /// `#` is a digit, `A` a letter.
    pub(crate) postal_code: &'static str,
    pub(crate) dialling_code: &'static str,
    pub(crate) cities: &'static [&'static str],
}

/// A currency, with the shop's price level in it (per mille of the list price).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Currency {
    pub(crate) code: &'static str,
    pub(crate) level: i64,
}

/// A category, its things, and its prices in cents.
#[derive(Debug)]
pub(crate) struct Category {
    pub(crate) name: &'static str,
    pub(crate) price: (i64, i64),
    pub(crate) things: &'static [&'static str],
}

const fn currency(code: &'static str, level: i64) -> Currency {
    Currency { code, level }
}

const USD: Currency = currency("USD", 1_000);
const EUR: Currency = currency("EUR", 950);
const GBP: Currency = currency("GBP", 820);
const CHF: Currency = currency("CHF", 1_050);
const CAD: Currency = currency("CAD", 1_350);
const AUD: Currency = currency("AUD", 1_450);
const PLN: Currency = currency("PLN", 3_900);
const SEK: Currency = currency("SEK", 10_400);

/// The currencies that product lists are kept in.
pub(crate) const LIST_CURRENCIES: &[(&str, u32)] = &[("USD", 85), ("EUR", 10), ("GBP", 5)];

const fn country(
    code: &'static str,
    currency: Currency,
    postal_code: &'static str,
    dialling_code: &'static str,
    cities: &'static [&'static str],
) -> Country {
    Country { code, currency, postal_code, dialling_code, cities }
}

/// All countries, each with its share of the customers.
#[rustfmt::skip]
pub(crate) static COUNTRIES: &[(Country, u32)] = &[
    (country("US", USD, "#####", "+1",
        &["New York", "Los Angeles", "Chicago", "Houston", "Phoenix", "Seattle", "Boston", "Coeur d'Alene"]), 300),
    (country("DE", EUR, "#####", "+49",
        &["Berlin", "Hamburg", "München", "Köln", "Leipzig", "Düsseldorf", "Gießen"]), 130),
    (country("GB", GBP, "AA# #AA", "+44",
        &["London", "Manchester", "Birmingham", "Leeds", "Glasgow", "Stoke-on-Trent"]), 120),
    (country("FR", EUR, "#####", "+33",
        &["Paris", "Lyon", "Marseille", "Nîmes", "Saint-Étienne", "L'Haÿ-les-Roses"]), 90),
    (country("ES", EUR, "#####", "+34",
        &["Madrid", "Barcelona", "Málaga", "A Coruña", "Sevilla"]), 50),
    (country("IT", EUR, "#####", "+39",
        &["Roma", "Milano", "Torino", "Forlì", "Reggio nell'Emilia"]), 50),
    (country("NL", EUR, "#### AA", "+31",
        &["Amsterdam", "Rotterdam", "Utrecht", "'s-Hertogenbosch"]), 40),
    (country("CA", CAD, "A#A #A#", "+1", &["Toronto", "Montréal", "Vancouver", "Québec"]), 45),
    (country("AU", AUD, "####", "+61", &["Sydney", "Melbourne", "Brisbane", "Wagga Wagga"]), 35),
    (country("SE", SEK, "### ##", "+46", &["Stockholm", "Göteborg", "Malmö", "Umeå"]), 12),
    (country("PL", PLN, "##-###", "+48", &["Warszawa", "Kraków", "Łódź", "Wrocław"]), 20),
    (country("CH", CHF, "####", "+41", &["Zürich", "Genève", "Basel", "Bern"]), 18),
    (country("AT", EUR, "####", "+43", &["Wien", "Graz", "Linz", "Sankt Pölten"]), 18),
    (country("BE", EUR, "####", "+32", &["Bruxelles", "Antwerpen", "Liège", "Gent"]), 18),
    (country("IE", EUR, "A## A###", "+353", &["Dublin", "Cork", "Dún Laoghaire"]), 14),
    (country("PT", EUR, "####-###", "+351", &["Lisboa", "Porto", "Braga", "Évora"]), 14),
    (country("JP", USD, "###-####", "+81", &["東京", "大阪", "横浜", "札幌市"]), 10),
    (country("BR", USD, "#####-###", "+55", &["São Paulo", "Rio de Janeiro", "Belém"]), 9),
    (country("TR", EUR, "#####", "+90", &["İstanbul", "Ankara", "İzmir", "Diyarbakır"]), 6),
    (country("GR", EUR, "### ##", "+30", &["Αθήνα", "Θεσσαλονίκη"]), 6),
];

#[rustfmt::skip]
pub(crate) const FIRST_NAMES: &[&str] = &[
    "Emma", "Liam", "Olivia", "Noah", "Ava", "Elijah", "Sophia", "James", "Mia", "Lucas",
    "Amelia", "Henry", "Charlotte", "Theodore", "Evelyn", "Jack", "Harper", "Levi", "Luna",
    "Daniel", "Camila", "Michael", "Gianna", "Mason", "Elena", "Sebastian", "Aria", "Ethan",
    "Scarlett", "Logan", "Hanna", "Jonas", "Lea", "Finn", "Marie", "Paul", "Sofia", "Ben",
    "Clara", "Anton", "José", "Zoë", "François", "Chloé", "Jürgen", "Käthe", "Björn", "Åsa",
    "Łukasz", "Małgorzata", "Søren", "Íñigo", "Begoña", "João", "Çağla", "Ömer", "Niamh",
    "Siobhán", "美咲", "翔太", "Ольга", "Νίκος", "Mary Ann", "Jean-Luc", "D'Arcy", "Priya", "Arjun",
    "Fatima", "Omar", "Mei", "Wei", "Thị Hương", "Kwame", "Ngozi", "Aleksandra", "Piotr",
    "Giulia", "Matteo", "Inês", "Tiago",
];

#[rustfmt::skip]
pub(crate) const LAST_NAMES: &[&str] = &[
    "Smith", "Johnson", "Williams", "Brown", "Jones", "Garcia", "Miller", "Davis", "Rodriguez",
    "Martinez", "Hernandez", "Lopez", "Wilson", "Anderson", "Thomas", "Taylor", "Moore",
    "Jackson", "Martin", "Lee", "Thompson", "White", "Harris", "Clark", "Lewis", "Robinson",
    "Walker", "Young", "Müller", "Schmidt", "Schneider", "Fischer", "Weber", "Meyer", "Wagner",
    "Becker", "Schäfer", "Groß", "Dubois", "Lefèvre", "Moreau", "Rossi", "Ferrari", "Esposito",
    "D'Angelo", "O'Brien", "Ó Súilleabháin", "van den Berg", "de la Cruz", "Núñez", "Peña",
    "Kowalski", "Wiśniewski", "Zieliński", "Nowak", "Lindström", "Håkansson", "Jensen",
    "Sørensen", "Gonçalves", "Yılmaz", "Şahin", "佐藤", "鈴木", "Παπαδόπουλος", "Nguyễn", "Patel",
    "Sharma", "Khan", "Okafor", "Mensah", "Smith-Jones", "Saint-Exupéry", "King, Jr.",
    "Löfgren-Öberg", "St. John",
];

/// Where customers have their mail, each with its share.
pub(crate) const MAIL_DOMAINS: &[(&str, u32)] = &[
    ("gmail.com", 45),
    ("outlook.com", 15),
    ("yahoo.com", 10),
    ("icloud.com", 8),
    ("gmx.de", 6),
    ("proton.me", 5),
    ("orange.fr", 4),
    ("btinternet.co.uk", 3),
    ("example.org", 2),
];

#[rustfmt::skip]
pub(crate) const BRANDS: &[&str] = &[
    "Nordlys", "Kestrel & Co", "Halden", "Brightwater", "Maison Bélier", "Tamarind", "Oakline",
    "Vireo", "Pinewood Supply", "Atlas 9", "Lumen", "Casa Verde", "Fjällgård", "Rook", "Sable",
    "Tidewell", "Umbra Works", "Wren", "Zephyr", "Corvid", "Dovetail", "Ember", "Foxglove",
    "Granit", "Hearth", "Iris & Ash", "Juniper", "Kumo", "Larkspur", "Moor",
];

#[rustfmt::skip]
pub(crate) const ADJECTIVES: &[&str] = &[
    "Classic", "Compact", "Insulated", "Organic", "Wireless", "Foldable", "Recycled",
    "Ergonomic", "Ultralight", "Everyday", "Premium", "Mini", "Large", "Vintage", "Waterproof",
    "Handmade", "Smart", "Soft", "Sturdy", "Travel", "Quiet", "Modular", "Café", "7\" x 9\"",
];

/// All categories, each with its share of the products.
#[rustfmt::skip]
pub(crate) static CATEGORIES: &[(Category, u32)] = &[
    (category("Home & Kitchen", (600, 24_000),
        &["Water Bottle", "Chef's Knife", "Kettle", "Pan", "Mug"]), 18),
    (category("Electronics", (1_500, 180_000),
        &["Headphones", "Keyboard", "Power Bank", "Speaker", "Monitor"]), 14),
    (category("Fashion", (900, 22_000),
        &["T-Shirt", "Rain Jacket", "Scarf", "Sneakers", "Belt"]), 18),
    (category("Beauty", (400, 9_000), &["Face Cream", "Shampoo", "Hand Soap", "Perfume"]), 10),
    (category("Sports & Outdoors", (800, 60_000),
        &["Yoga Mat", "Tent", "Backpack", "Running Vest", "Kayak"]), 12),
    (category("Toys", (500, 12_000), &["Building Blocks", "Puzzle", "Kite", "Board Game"]), 8),
    (category("Books", (500, 6_500), &["Cookbook", "Field Guide", "Atlas", "Notebook"]), 8),
    (category("Garden", (700, 45_000), &["Planter", "Hose", "Pruning Shears", "Fire Bowl"]), 5),
    (category("Pets", (45, 9_500), &["Dog Bed", "Cat Tree", "Treats", "Leash"]), 4),
    (category("Grocery", (30, 4_200), &["Olive Oil", "Coffee Beans", "Tea", "Chocolate"]), 3),
];

const fn category(name: &'static str, price: (i64, i64), things: &'static [&'static str]) -> Category {
    Category { name, price, things }
}

pub(crate) const CARRIERS: &[(&str, u32)] =
    &[("DHL", 30), ("UPS", 25), ("FedEx", 15), ("DPD", 12), ("Royal Mail", 8), ("La Poste", 6), ("GLS", 4)];

/// How orders are paid, each with its share.
pub(crate) const PAYMENT_METHODS: &[(&str, u32)] = &[
    (method::CARD, 56),
    (method::PAYPAL, 22),
    (method::APPLE_PAY, 9),
    (method::BANK_TRANSFER, 7),
    (method::CASH_ON_DELIVERY, 4),
    (method::GIFT_CARD, 2),
];

pub(crate) mod method {
    pub(crate) const CARD: &str = "card";
    pub(crate) const PAYPAL: &str = "paypal";
    pub(crate) const APPLE_PAY: &str = "apple_pay";
    pub(crate) const BANK_TRANSFER: &str = "bank_transfer";
    pub(crate) const CASH_ON_DELIVERY: &str = "cash_on_delivery";
    pub(crate) const GIFT_CARD: &str = "gift_card";
}

/// The statuses of orders, payments and shipments as a warehouse should know them.
pub(crate) mod status {
    pub(crate) const PLACED: &str = "placed";
    pub(crate) const ON_HOLD: &str = "on_hold";
    pub(crate) const PAID: &str = "paid";
    pub(crate) const SHIPPED: &str = "shipped";
    pub(crate) const DELIVERED: &str = "delivered";
    pub(crate) const COMPLETED: &str = "completed";
    pub(crate) const CANCELLED: &str = "cancelled";
    pub(crate) const RETURNED: &str = "returned";
    pub(crate) const PENDING: &str = "pending";
    pub(crate) const CAPTURED: &str = "captured";
    pub(crate) const FAILED: &str = "failed";
    pub(crate) const REFUNDED: &str = "refunded";
}
