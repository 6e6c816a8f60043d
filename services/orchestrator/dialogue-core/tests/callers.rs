//! A hundred callers who each want an appointment in their own words, with silences, noise, second
//! thoughts and a book that is half full (C6, B3). Virtual time: a talk takes no longer than its rules.

mod clinic;

use clinic::{CALLER, Talk, moment};
use jiff::{
    ToSpan,
    civil::{DateTime, date},
};

const CALLERS: u64 = 100;
/// How many of them leave with the appointment they agreed to.
const SERVED_MIN: usize = 95;
/// A talk that goes on longer has failed.
const TURNS_MAX: usize = 25;
/// The median call, by how fast people and voices speak (C6).
const MEDIAN_S: f64 = 90.0;
const CHARS_A_SECOND: f64 = 15.0;
const BETWEEN_TURNS_S: f64 = 1.5;

const NAMES: [&str; 14] = [
    "Anna Lee",
    "Ben Okoro",
    "Priya Raman",
    "Diego Alvarez",
    "Siobhan Murphy",
    "Wei Zhang",
    "Fatima Haddad",
    "John Smith",
    "Maria Santos",
    "Oliver Brandt",
    "Keisha Brown",
    "Tom Baker",
    "Ingrid Larsen",
    "Rahul Mehta",
];
const OPENINGS: [&str; 12] = [
    "I'd like to make an appointment",
    "hi can I book a check-up please",
    "yeah hello I need to come in and see someone",
    "I want to see the dentist",
    "could you fit me in sometime",
    "I'm calling to schedule a visit",
    "hello, I have a toothache, can somebody look at it",
    "do you have any openings",
    "book me an appointment please",
    "um I was hoping to get an appointment",
    "I'd like to set up a cleaning",
    "my name is {name} and I need an appointment",
];
const INTRODUCED: [&str; 6] =
    ["{name}", "my name is {name}", "it's {name}", "this is {name}", "uh {name}", "{name} please"];
const AGREED: [&str; 10] = [
    "yes",
    "yes please",
    "yeah that's right",
    "correct",
    "perfect",
    "sounds good",
    "yep",
    "that's fine",
    "yes thanks",
    "mhm yes",
];
const ENDED: [&str; 5] =
    ["no thank you", "no that's all", "nope, bye", "that's it thanks bye", "no"];
const NOISE: [&str; 6] = ["", "krrr bzz", "hang on", "uh", "[inaudible]", "can you hear me"];
const PUZZLED: [&str; 4] = ["sorry?", "could you repeat that", "pardon", "say that again please"];

/// The same numbers for the same caller in every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % sides
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.roll(n) == 0
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len())]
    }
}

struct Caller {
    dice: Dice,
    name: &'static str,
    wants: DateTime,
    /// Will want another day once what they asked for was read back.
    changes_mind: bool,
    /// How often they may still be silent, or drowned in noise.
    disturbances: usize,
    agreed: bool,
}

const HOURS: [&str; 12] = [
    "twelve", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven",
];

impl Caller {
    fn new(number: u64) -> Self {
        let mut dice = Dice(number.wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ 0xB00C);
        for _ in 0..4 {
            dice.roll(2);
        }
        let name = NAMES[dice.roll(NAMES.len())];
        let wants = open_time(&mut dice);
        let changes_mind = dice.one_in(4);
        let disturbances = dice.roll(3);
        Self { dice, name, wants, changes_mind, disturbances, agreed: false }
    }

    fn day(&mut self) -> String {
        let day = self.wants.date();
        let is_soon = (day - date(2026, 11, 20)).get_days() < 7;
        match self.dice.roll(if is_soon { 5 } else { 3 }) {
            0 => day.strftime("%B %-d").to_string(),
            1 => day.strftime("%A the ").to_string() + &ordinal(day.day()),
            2 => format!("the {} of {}", ordinal(day.day()), day.strftime("%B")),
            3 => day.strftime("%A").to_string(),
            _ => day.strftime("on %A please").to_string(),
        }
    }

    fn time(&mut self) -> String {
        let (hour, is_half) = (self.wants.hour(), self.wants.minute() == 30);
        let spoken = HOURS[usize::from(hour.unsigned_abs()) % 12];
        let suffix = if hour < 12 { "AM" } else { "PM" };
        let clock = self.wants.strftime("%-I:%M").to_string();
        match (self.dice.roll(4), is_half) {
            (0, _) => format!("{clock} {suffix}"),
            (1, true) => format!("half past {spoken}"),
            (1, false) => format!("{spoken} o'clock"),
            (2, true) => format!("{spoken} thirty"),
            (2, false) => format!("at {spoken}"),
            (_, _) => format!("around {clock} would be good"),
        }
    }

    fn opening(&mut self) -> String {
        let opening = self.dice.pick(&OPENINGS).replace("{name}", self.name);
        match self.dice.roll(4) {
            0 => format!("{opening} for {}", self.day()),
            1 => format!("{opening}, {} at {}", self.day(), self.wants.strftime("%-I:%M %p")),
            _ => opening,
        }
    }

    /// What the caller says to what was heard.
    fn answer(&mut self, heard: &str) -> String {
        if self.disturbances > 0 && self.dice.one_in(6) {
            self.disturbances -= 1;
            return self
                .dice
                .pick(if self.dice.0 & 64 == 0 { &NOISE } else { &PUZZLED })
                .to_owned();
        }
        let asks = |text: &str| heard.contains(text);
        if asks("nything else?") {
            return self.dice.pick(&ENDED).to_owned();
        }
        if asks("Is that right?") || asks("is that right?") || asks("yes or a no") {
            return self.judge(heard);
        }
        if asks("suit you?") && asks("I have ") {
            return self.choose(heard);
        }
        if asks("Which one would you like") {
            return "the first one".to_owned();
        }
        if asks("name") {
            return self.dice.pick(&INTRODUCED).replace("{name}", self.name);
        }
        if asks("day and time") {
            return format!("{} at {}", self.day(), self.wants.strftime("%-I:%M %p"));
        }
        if asks("day") {
            let day = self.day();
            return if self.dice.one_in(4) { format!("{day}, {}", self.time()) } else { day };
        }
        if asks("time") {
            return self.time();
        }
        if asks("Would you like one") {
            return "yes please".to_owned();
        }
        self.opening()
    }

    fn judge(&mut self, heard: &str) -> String {
        let is_question = heard.contains("yes or");
        let right = self.wants.strftime("%A, %B %-d at %-I").to_string();
        if !is_question && !heard.contains(&right) {
            return format!("no, {} at {}", self.day(), self.wants.strftime("%-I:%M %p"));
        }
        if !is_question && !heard.contains(self.name) {
            return format!("no, my name is {}", self.name);
        }
        if self.changes_mind && !is_question {
            self.changes_mind = false;
            let later = self.wants.checked_add(1.week()).expect("a date");
            self.wants = later;
            return match self.dice.roll(3) {
                0 => format!("no sorry, {}", later.strftime("%B %-d")),
                1 => format!("actually can we do {} instead", later.strftime("%A, %B %-d")),
                _ => format!("oh wait, make it {}", later.strftime("%B %-d")),
            };
        }
        self.agreed = true;
        self.dice.pick(&AGREED).to_owned()
    }

    /// Takes one of the times that were offered: the one said last or first, by its clock or place.
    fn choose(&mut self, heard: &str) -> String {
        let offered = heard.split("I have ").nth(1).unwrap_or_default();
        let offered = offered.split(". W").next().unwrap_or_default();
        let (times, day) = match offered.split_once(" on ") {
            Some((times, day)) => (times.to_owned(), Some(day.to_owned())),
            None => (offered.to_owned(), None),
        };
        let times = times.replace(" or ", ", ");
        let first = match &day {
            Some(day) => format!("{day} {}", times.split(", ").next().unwrap_or_default()),
            None => offered.split(" or ").next().unwrap_or_default().replace(" at ", " "),
        };
        let first = first.split(", ").take(2).collect::<Vec<_>>().join(", ");
        let first = if first.contains(':') {
            first
        } else {
            first.replace(" AM", ":00 AM").replace(" PM", ":00 PM")
        };
        let year = format!("2026 {first}");
        self.wants = DateTime::strptime("%Y %A, %B %d %I:%M %p", &year)
            .unwrap_or_else(|error| panic!("{year}: {error}"));
        match self.dice.roll(3) {
            0 => "the first one".to_owned(),
            1 => self.wants.strftime("%-I:%M %p is fine").to_string(),
            _ => self.wants.strftime("I'll take %-I:%M").to_string(),
        }
    }
}

/// A time the clinic is open: in the fortnight from Monday.
fn open_time(dice: &mut Dice) -> DateTime {
    let day = date(2026, 11, 23).checked_add((dice.roll(5) as i64).days()).expect("a date");
    let day = day.checked_add((dice.roll(2) as i64).weeks()).expect("a date");
    day.at(9 + dice.roll(8) as i8, 30 * dice.roll(2) as i8, 0, 0)
}

fn ordinal(day: i8) -> String {
    let suffix = match (day % 10, day / 10) {
        (_, 1) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    };
    format!("{day}{suffix}")
}

/// One call from the first word; what came of it, how long it took, and what was said.
fn call(number: u64) -> (bool, f64, String) {
    let mut caller = Caller::new(number);
    let mut talk = Talk::call();
    for _ in 0..60 {
        let at = open_time(&mut caller.dice);
        talk.clinic.booked.insert(moment(&at.to_string()), ("Somebody".into(), None));
    }
    let mut said = caller.opening();
    let mut transcript = String::new();
    let mut seconds = 3.0;
    for _ in 0..TURNS_MAX {
        let (_, heard) = talk.say(&said);
        seconds += (said.len() + heard.len()) as f64 / CHARS_A_SECOND + 2.0 * BETWEEN_TURNS_S;
        transcript += &format!("  caller {said}\n  agent  {heard}\n");
        if talk.hung_up || heard.contains("put you through") {
            break;
        }
        said = caller.answer(&heard);
    }
    let own = talk.clinic.booked.values().filter(|(_, number)| number.as_deref() == Some(CALLER));
    let wanted = talk.clinic.booked.get(&moment(&caller.wants.to_string()));
    let is_served = caller.agreed
        && own.count() == 1
        && wanted == Some(&(caller.name.to_owned(), Some(CALLER.to_owned())));
    transcript += &format!("  wanted {} {}\n", caller.name, caller.wants);
    (is_served, seconds, transcript)
}

#[test]
fn ninety_five_of_a_hundred_callers_leave_with_the_appointment_they_agreed_to() {
    let calls: Vec<_> = (0..CALLERS).map(call).collect();
    let served = calls.iter().filter(|(is_served, ..)| *is_served).count();
    let failed: Vec<&str> = calls.iter().filter(|c| !c.0).map(|c| c.2.as_str()).collect();
    let mut lasted: Vec<f64> = calls.iter().map(|c| c.1).collect();
    lasted.sort_by(f64::total_cmp);
    let median = lasted[lasted.len() / 2];
    println!("{served} of {CALLERS} served, median call {median:.0} s\n{}", failed.join("\n"));
    assert!(served >= SERVED_MIN, "{served} of {CALLERS}");
    assert!(median < MEDIAN_S, "{median} s");
}
