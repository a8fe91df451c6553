//! Texts that answers say again: made-up sentences that a model of any size can copy, new with every seed.

use crate::prompts::Words;

const NAMES: [&str; 16] = [
    "Anna", "Peter", "Maria", "John", "Sarah", "David", "Emma", "Thomas", "Laura", "Daniel", "Julia",
    "Martin", "Alice", "Robert", "Helen", "George",
];
const JOBS: [&str; 12] = [
    "teacher", "doctor", "farmer", "baker", "painter", "writer", "driver", "nurse", "lawyer", "builder",
    "singer", "sailor",
];
const VERBS: [&str; 12] = [
    "bought",
    "sold",
    "found",
    "repaired",
    "painted",
    "visited",
    "described",
    "opened",
    "closed",
    "moved",
    "showed",
    "lost",
];
const QUALITIES: [&str; 12] = [
    "old", "small", "red", "green", "heavy", "quiet", "broken", "wooden", "famous", "yellow", "narrow",
    "bright",
];
const THINGS: [&str; 16] = [
    "house", "boat", "table", "garden", "bridge", "bicycle", "clock", "letter", "window", "market", "piano",
    "camera", "school", "kitchen", "statue", "tower",
];
const PLACES: [&str; 12] = [
    "river", "station", "church", "harbour", "forest", "library", "square", "museum", "castle", "beach",
    "hospital", "theatre",
];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A passage, and something in it that an edit can change.
#[derive(Debug)]
pub(crate) struct Passage {
    /// About as many tokens as asked for.
    pub(crate) text: String,
    /// A word that its first sentence has.
    pub(crate) thing: &'static str,
}

/// Tokens of a sentence, about.
const SENTENCE: u32 = 18;

impl Words {
    /// A passage of about this many tokens.
    pub(crate) fn passage(&mut self, tokens: u32) -> Passage {
        let sentences: Vec<(String, &'static str)> =
            (0..tokens.div_ceil(SENTENCE).max(1)).map(|_| self.sentence()).collect();
        let thing = sentences.first().map_or("", |(_, thing)| *thing);
        let texts: Vec<String> = sentences.into_iter().map(|(text, _)| text).collect();
        Passage { text: texts.join(" "), thing }
    }

    /// A question that no text of the prompt answers.
    pub(crate) fn question(&mut self) -> String {
        let (job, quality, thing, place) =
            (self.pick(&JOBS), self.pick(&QUALITIES), self.pick(&THINGS), self.pick(&PLACES));
        match self.next() % 4 {
            0 => format!("Why would a {job} need a {quality} {thing}?"),
            1 => format!("Write a short story about a {job} and a {quality} {thing} at the {place}."),
            2 => format!("How do I find a {quality} {thing} near a {place}?"),
            _ => format!("Explain to a child what a {job} does at the {place}."),
        }
    }

    fn sentence(&mut self) -> (String, &'static str) {
        let (name, job, verb) = (self.pick(&NAMES), self.pick(&JOBS), self.pick(&VERBS));
        let (quality, thing, place, month) =
            (self.pick(&QUALITIES), self.pick(&THINGS), self.pick(&PLACES), self.pick(&MONTHS));
        let text =
            format!("In {month} the {job} {name} {verb} the {quality} {thing} that stands near the {place}.");
        (text, thing)
    }

    fn pick(&mut self, list: &[&'static str]) -> &'static str {
        let index = usize::try_from(self.next() % list.len().max(1) as u64).unwrap_or_default();
        list.get(index).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passage_is_the_same_for_the_same_seed_and_holds_what_is_to_be_edited() {
        let one = Words::new(1, 2).passage(120);
        assert_eq!(one.text, Words::new(1, 2).passage(120).text);
        assert_ne!(one.text, Words::new(2, 2).passage(120).text);
        assert!(one.text.contains(one.thing) && !one.thing.is_empty());
        assert_eq!(one.text.matches('.').count(), 7);
    }
}
