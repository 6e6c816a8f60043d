//! Text as six-bit units.

use crate::modem::WORD_UNITS;

/// Lower-case letters, digits and the punctuation of written speech: units 0 to 58, in this order.
const PLAIN: &str = "abcdefghijklmnopqrstuvwxyz0123456789.,?!'-:;\"()/@+%&$#_*=’…";

/// The next letter is a capital.
const CAPITAL: u8 = 60;
/// Letters are capitals from here on, or no longer.
const CAPITALS: u8 = 61;
/// A character below U+1000 follows as two units.
const SHORT_CODE: u8 = 62;
/// Any other character follows as four units.
const LONG_CODE: u8 = 63;

/// What one word of the signal carries.
pub(super) struct Piece {
    pub units: Vec<u8>,
    /// It belongs to the piece before, without a space.
    pub joined: bool,
}

/// Cuts a text into pieces of at most [`WORD_UNITS`] units: words, or parts of words.
pub(super) fn pieces(text: &str) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for word in text.split_whitespace() {
        let mut piece = Piece { units: Vec::new(), joined: false };
        let mut capitals = false;
        let mut rest = word.chars().peekable();
        while let Some(character) = rest.next() {
            let upper = |character: char| character.is_ascii_uppercase();
            let mut run = rest.peek().copied().is_some_and(upper);
            let mut units = spell(character, capitals, run);
            if piece.units.len() + units.len() > WORD_UNITS {
                pieces
                    .push(std::mem::replace(&mut piece, Piece { units: Vec::new(), joined: true }));
                capitals = false;
                run = rest.peek().copied().is_some_and(upper);
                units = spell(character, capitals, run);
            }
            if units[0] == CAPITALS {
                capitals = !capitals;
            }
            piece.units.extend(units);
        }
        pieces.push(piece);
    }
    pieces
}

/// The units of one character. `capitals` is the state before it; `run` says that another capital follows.
fn spell(character: char, capitals: bool, run: bool) -> Vec<u8> {
    let plain = |character: char| {
        PLAIN.chars().position(|known| known == character).map(|place| place as u8)
    };
    if character.is_ascii_alphabetic() {
        let letter = character.to_ascii_lowercase() as u8 - b'a';
        return match (character.is_ascii_uppercase(), capitals) {
            (true, true) | (false, false) => vec![letter],
            (true, false) => vec![if run { CAPITALS } else { CAPITAL }, letter],
            (false, true) => vec![CAPITALS, letter],
        };
    }
    if let Some(unit) = plain(character) {
        return vec![unit];
    }
    let code = u32::from(character);
    let unit = |shift: u32| (code >> shift & 63) as u8;
    if code < 0x1000 {
        vec![SHORT_CODE, unit(6), unit(0)]
    } else {
        vec![LONG_CODE, unit(18), unit(12), unit(6), unit(0)]
    }
}

/// The text of a piece; nothing when the units do not spell one.
pub(super) fn read(units: &[u8]) -> Option<String> {
    let mut text = String::new();
    let mut capitals = false;
    let mut capital = false;
    let mut rest = units.iter().copied();
    while let Some(unit) = rest.next() {
        match unit {
            CAPITAL => capital = true,
            CAPITALS => capitals = !capitals,
            SHORT_CODE | LONG_CODE => {
                let length = if unit == SHORT_CODE { 2 } else { 4 };
                let code =
                    (0..length).try_fold(0, |code, _| Some(code << 6 | u32::from(rest.next()?)))?;
                text.push(char::from_u32(code)?);
            }
            _ => {
                let character = PLAIN.chars().nth(usize::from(unit))?;
                let upper = capitals || std::mem::take(&mut capital);
                text.push(if upper { character.to_ascii_uppercase() } else { character });
            }
        }
    }
    Some(text)
}
