//! Small worlds: people go places, take things and put them down, and somebody asks.

use anyhow::{Result, ensure};

use super::Problem;
use crate::random::Random;

const THINGS: [&str; 16] = [
    "ball", "bell", "book", "bowl", "broom", "coin", "comb", "cup", "drum", "hat", "key", "kite",
    "lamp", "map", "ring", "rope",
];

const PLACES: [&str; 16] = [
    "attic", "barn", "cellar", "chapel", "forest", "garden", "hall", "harbour", "kitchen",
    "library", "market", "meadow", "mill", "stable", "tower", "yard",
];

const IDLE: [&str; 6] = [
    "It begins to rain.",
    "The sun comes out.",
    "A door creaks.",
    "Somewhere a dog barks.",
    "The wind drops.",
    "It is getting late.",
];

const CONSONANTS: &[u8] = b"bdfghjklmnprstvwz";
const VOWELS: &[u8] = b"aeiou";
const ENDINGS: &[u8] = b"lmnrs";

/// Checks that there are so many people and things.
///
/// # Errors
/// Says what there is too much of.
pub(super) fn check(people: usize, things: usize) -> Result<()> {
    ensure!(people <= 100, "`people` must be at most 100, not {people}.");
    let most = THINGS.len();
    ensure!(things <= most, "`things` must be at most {most}, not {things}.");
    Ok(())
}

/// Whether a name is kept for measuring: the sum of its letters ends in 0.
fn is_held_out(name: &str) -> bool {
    name.bytes().map(usize::from).sum::<usize>() % 10 == 0
}

/// A name of two or three syllables, none of those that are held out.
pub(super) fn name(random: &mut Random) -> String {
    name_of(false, random)
}

fn name_of(held_out: bool, random: &mut Random) -> String {
    loop {
        let mut name = String::new();
        for _ in 0..2 + random.below(3) / 2 {
            name.extend([CONSONANTS, VOWELS].map(|letters| *random.pick(letters) as char));
        }
        if random.happens(0.4) {
            name.push(*random.pick(ENDINGS) as char);
        }
        name[..1].make_ascii_uppercase();
        if is_held_out(&name) == held_out {
            return name;
        }
    }
}

/// Where a thing is.
#[derive(Clone, Copy, PartialEq)]
enum Whereabouts {
    /// In a place, by its number.
    Lies(usize),
    /// With a person, by their number.
    Carried(usize),
}

/// Who and what there is, and where, by numbers.
struct World {
    people: Vec<(String, usize)>,
    things: Vec<(&'static str, Whereabouts)>,
    told: Vec<String>,
}

impl World {
    /// Everybody and everything somewhere, and told so.
    fn new(people: usize, things: usize, held_out: bool, random: &mut Random) -> Self {
        let mut world = Self { people: Vec::new(), things: Vec::new(), told: Vec::new() };
        while world.people.len() < people {
            let name = name_of(held_out, random);
            if world.people.iter().all(|(known, _)| *known != name) {
                let place = random.below(PLACES.len());
                world.told.push(format!("{name} is in the {}.", PLACES[place]));
                world.people.push((name, place));
            }
        }
        let mut names = THINGS;
        random.shuffle(&mut names);
        for name in &names[..things] {
            // Things that lie where nobody is would hardly ever be taken.
            let place = match random.happens(0.7) {
                true => random.pick(&world.people).1,
                false => random.below(PLACES.len()),
            };
            world.told.push(format!("The {name} is in the {}.", PLACES[place]));
            world.things.push((name, Whereabouts::Lies(place)));
        }
        random.shuffle(&mut world.told);
        world
    }

    /// Something happens, and is told.
    fn go_on(&mut self, random: &mut Random) {
        let who = random.below(self.people.len());
        let what = random.below(self.things.len());
        let chance = random.unit();
        let sentence = match self.things[what].1 {
            _ if chance < 0.1 => (*random.pick(&IDLE)).to_string(),
            Whereabouts::Lies(place) if chance < 0.6 && self.people[who].1 == place => {
                self.things[what].1 = Whereabouts::Carried(who);
                format!("{} takes the {}.", self.people[who].0, self.things[what].0)
            }
            Whereabouts::Carried(holder) if chance < 0.4 => {
                self.things[what].1 = Whereabouts::Lies(self.people[holder].1);
                format!("{} puts the {} down.", self.people[holder].0, self.things[what].0)
            }
            _ => {
                let place = random.below(PLACES.len());
                self.people[who].1 = place;
                format!("{} goes to the {}.", self.people[who].0, PLACES[place])
            }
        };
        self.told.push(sentence);
    }

    /// A question about how things stand, and the answer.
    fn question(&self, random: &mut Random) -> (String, String) {
        if random.happens(0.25) {
            let (name, place) = random.pick(&self.people);
            return (format!("Where is {name}? In the"), PLACES[*place].to_string());
        }
        let (name, whereabouts) = *random.pick(&self.things);
        let place = match whereabouts {
            Whereabouts::Lies(place) => place,
            Whereabouts::Carried(who) if random.happens(0.5) => {
                return (format!("Who has the {name}?"), self.people[who].0.clone());
            }
            Whereabouts::Carried(who) => self.people[who].1,
        };
        (format!("Where is the {name}? In the"), PLACES[place].to_string())
    }
}

/// A story of so many people, things and sentences after those that say where all of them are.
pub(super) fn story(count: [usize; 3], held_out: bool, random: &mut Random) -> Problem {
    let [people, things, events] = count;
    let mut world = World::new(people, things, held_out, random);
    for _ in 0..events {
        world.go_on(random);
    }
    let (question, answer) = world.question(random);
    let prompt = world.told.join(" ") + "\n" + &question;
    Problem { prompt, target: format!(" {answer}\n") }
}
