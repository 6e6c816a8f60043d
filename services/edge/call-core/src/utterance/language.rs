//! What the words tell in languages other than English: lists, without the rules of the clause that English has.

use serde::{Deserialize, Serialize};

use super::{back, ends_with, is_begun, is_hesitation, longest, phrases::MAIL_HOSTS};

/// A language in which callers are recognised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Language {
    /// English.
    #[default]
    English,
    /// German.
    German,
    /// Spanish.
    Spanish,
    /// French.
    French,
    /// Portuguese.
    Portuguese,
    /// Italian.
    Italian,
    /// One whose words are not known here: figures and punctuation tell something.
    Other,
}

impl Language {
    /// The language of a tag such as `de-AT` (BCP 47).
    pub fn of(tag: &str) -> Self {
        let language = tag.split(['-', '_']).next().unwrap_or_default().to_lowercase();
        match language.as_str() {
            "en" => Self::English,
            "de" => Self::German,
            "es" => Self::Spanish,
            "fr" => Self::French,
            "pt" => Self::Portuguese,
            "it" => Self::Italian,
            _ => Self::Other,
        }
    }

    /// Its lists; nothing for English, which has more than lists.
    pub(super) fn lexicon(self) -> Option<&'static Lexicon> {
        match self {
            Self::English => None,
            Self::German => Some(&GERMAN),
            Self::Spanish => Some(&SPANISH),
            Self::French => Some(&FRENCH),
            Self::Portuguese => Some(&PORTUGUESE),
            Self::Italian => Some(&ITALIAN),
            Self::Other => Some(&UNKNOWN),
        }
    }
}

/// The lists of a language. Words stand between spaces, phrases between commas; all in lower case.
pub(super) struct Lexicon {
    /// Sounds of who looks for the next word.
    hesitations: &'static str,
    /// Words nobody ends a sentence with.
    connectors: &'static str,
    /// What nobody ends a sentence with.
    openings: &'static str,
    /// What is no sentence by itself, but may end one.
    starts: &'static str,
    /// Words that end a sentence with one of these verbs in it: "ich bringe ihn mit".
    detached: &'static [(&'static str, &'static str)],
    /// What makes a clause of the words that follow: with no more than one of `subjects` it is none yet.
    subordinators: &'static str,
    subjects: &'static str,
    /// A complete yes or no, or a part of one, and what people add to it.
    answers: &'static str,
    courtesies: &'static str,
    /// Said while somebody else speaks: "I am listening", and the same where nothing was asked.
    assents: &'static str,
    affirmations: &'static str,
    /// Digits, one by one; numbers of two digits; those of them that a digit may follow.
    digits: &'static str,
    teens: &'static str,
    tens: &'static str,
    /// What numbers are called that are read out digit by digit.
    numbers: &'static str,
    /// What comes before the figures of a date or a time of day.
    dated: &'static str,
    /// What a payment card is called.
    cards: &'static str,
    /// Digits of the shortest whole telephone number.
    number_digits: usize,
}

impl Lexicon {
    pub(super) fn is_hesitation(&self, word: &str) -> bool {
        has(self.hesitations, word)
    }

    pub(super) fn is_answer(&self, words: &[String]) -> bool {
        let mut rest = words;
        while !rest.is_empty() {
            let courtesies = if rest.len() == words.len() { "" } else { self.courtesies };
            match longest(phrases(self.answers).chain(phrases(courtesies)), rest) {
                Some(len) => rest = &rest[len..],
                None => return false,
            }
        }
        !words.is_empty()
    }

    /// How many of the first words are one sign of listening.
    pub(super) fn listening(&self, words: &[String], affirms: bool) -> Option<usize> {
        let affirmations = if affirms { self.affirmations } else { "" };
        longest(phrases(self.assents).chain(phrases(affirmations)), words)
    }

    /// Whether a sign of listening begins with all these words.
    pub(super) fn may_be_listening(&self, begun: &[String]) -> bool {
        phrases(self.assents)
            .chain(phrases(self.affirmations))
            .any(|phrase| is_begun(phrase, begun))
    }

    /// Whether nobody ends a sentence, a number or an address with these words.
    pub(super) fn is_in_the_middle(&self, words: &[String]) -> bool {
        let (last, before) = (back(words, 0), back(words, 1));
        if has(DOMAINS, last) && has(DOTS, before) {
            return false;
        }
        if let Some(is_in_the_middle) = self.is_number_in_the_middle(words) {
            return is_in_the_middle;
        }
        let said = words.iter().position(|word| !self.is_filling(word)).unwrap_or(words.len());
        let said = &words[said..];
        let is_bare = words.len() > 1
            && has(self.subjects, last)
            && phrases(self.subordinators).any(|joint| ends_with(&words[..words.len() - 1], joint));
        let is_detached = self.detached.iter().any(|(particle, verbs)| {
            *particle == last && words.iter().any(|word| has(verbs, word))
        });
        (has(self.connectors, last) && !is_detached)
            || phrases(self.openings).any(|opening| ends_with(words, opening))
            || phrases(self.starts)
                .any(|start| start.split(' ').eq(said.iter().map(String::as_str)))
            || is_bare
            || self.is_spelling(words)
            || (MAIL_HOSTS.contains(&last) && words.len() > 1)
    }

    /// Said before a sentence begins.
    fn is_filling(&self, word: &str) -> bool {
        is_hesitation(word)
            || self.is_hesitation(word)
            || has(self.connectors, word)
            || phrases(self.answers).any(|answer| answer == word)
    }

    /// Whether the digits at the end, one by one or in groups, are no whole number of a telephone or a card yet. Nothing
    /// where they are no such number.
    fn is_number_in_the_middle(&self, words: &[String]) -> Option<bool> {
        let (mut digits, mut groups, mut from) = (0, 0, words.len());
        for (place, word) in words.iter().enumerate().rev() {
            let before = place.checked_sub(1).map_or("", |at| words[at].as_str());
            let figures = word.strip_prefix('+').unwrap_or(word);
            let many = if word.starts_with("vingt") && before == "quatre" {
                1
            } else if has(self.digits, word) || has(self.teens, word) {
                // "Trente quatre" and "soixante dix" are one number of two digits.
                if has(self.tens, before) { 0 } else { 1 + usize::from(has(self.teens, word)) }
            } else if has(self.tens, word) {
                2
            } else if !figures.is_empty() && figures.bytes().all(|b| b.is_ascii_digit()) {
                figures.len()
            } else if word == "plus" || word == "+" {
                0
            } else {
                break;
            };
            digits += many;
            groups += usize::from(many > 0);
            from = place;
        }
        let first = words.get(from)?;
        let before = from.checked_sub(1).map_or("", |at| words[at].as_str());
        let said = |some: &str| words.iter().any(|word| has(some, word));
        let is_announced = said(self.numbers)
            || first.starts_with(['0', '+'])
            || self.digits.split(' ').next() == Some(first);
        if has(self.dated, before) && digits <= LONGEST_DATE && !is_announced {
            return None;
        }
        let whole = if said(self.cards) { CARD_DIGITS } else { self.number_digits };
        let is_number = is_announced || (groups > 1 && digits > 2);
        is_number.then_some(digits < whole)
    }

    /// Whether the words end in letters, one by one, that spell no word just said.
    fn is_spelling(&self, words: &[String]) -> bool {
        let is_letter = |word: &&String| {
            word.chars().count() == 1
                && word.chars().all(char::is_alphabetic)
                && !has(self.digits, word)
        };
        let letters = words.iter().rev().take_while(is_letter).count();
        let spelt = words[words.len() - letters..].concat();
        letters > 1 && back(words, letters) != spelt
    }
}

/// Where addresses of mail end, and what stands before that.
const DOMAINS: &str = "com de es fr it br pt net org eu at ch";
const DOTS: &str = "punkt punto point ponto";
/// Digits of a payment card.
const CARD_DIGITS: usize = 16;
/// Digits of a date with its year.
const LONGEST_DATE: usize = 8;

fn has(words: &str, word: &str) -> bool {
    words.split_whitespace().any(|some| some == word)
}

fn phrases(phrases: &str) -> impl Iterator<Item = &str> {
    phrases.split(',').map(str::trim).filter(|phrase| !phrase.is_empty())
}

const UNKNOWN: Lexicon = Lexicon {
    hesitations: "",
    connectors: "",
    openings: "",
    starts: "",
    detached: &[],
    subordinators: "",
    subjects: "",
    answers: "",
    courtesies: "",
    assents: "",
    affirmations: "",
    digits: "",
    teens: "",
    tens: "",
    numbers: "",
    dated: "",
    cards: "",
    number_digits: 9,
};

const GERMAN: Lexicon = Lexicon {
    hesitations: "also äh ähm öh öhm ehm hm tja",
    connectors: "lautet wegen neunzehnhundert zweitausend insgesamt und oder aber weil dass ob wenn denn sondern sowie für mit von bis um am im bei seit ohne \
        gegen zwischen über zum zur vom beim ins ans der den dem des ein eine einen einem einer mein meine \
        meinen meinem meiner unser unsere unseren ihre ihren ihrem seine seinen sehr dr doktor frau herrn \
        punkt at bindestrich unterstrich minus doppel",
    openings: "bräuchte eigentlich, wollte ich nur, ich da noch, geht es um die, und ich, mir letzte woche, hier ist, sagen wann, sagen wie, sagen ob, sagen was, wissen wann, wissen wie, fragen wie, fragen wann, wie lange, bräuchte ich noch, erst ab, kann ab, sie vielleicht, mir bitte, würden gerne, wäre dann, wären dann, ihnen auch, ich wollte eigentlich, name ist, nummer ist, telefonnummer ist, adresse ist, mail ist, problem ist, es ist, ich möchte, \
        ich hätte, ich hätte gern, ich hätte gerne, hätte gern, hätte gerne, ich würde, würde gern, würde gerne, \
        ich wollte, ich wollte fragen, wollte mal fragen, wollte wissen, ich heiße, es geht um, und zwar, \
        das heißt, zum beispiel, geboren am, das problem, können sie mir, könnten sie mir, kann ich bitte, \
        moment, einen moment, augenblick, eine sekunde, mal sehen, ich rufe an weil",
    starts: "ich habe bei ihnen, ich wollte meinen termin, ich, ich brauche, ich habe, ich bin, ich rufe, ich rufe an, wir möchten, wir hätten, wir brauchen, \
        wir wollten, können sie, könnten sie, kann ich, könnte ich, darf ich, haben sie, gibt es, ist es, \
        ich glaube, ich denke, ich wohne, warten sie, lassen sie mich, also, ja also, mein, die, das",
    detached: &[
        ("mit", "bringe bringen nehme nehmen komme kommt kommen"),
        ("um", "buche buchen stelle stellen tausche tauschen"),
        ("ein", "trage tragen fällt lade"),
    ],
    subordinators: "ob, dass, weil, wenn, damit, obwohl, falls, sobald, bevor, nachdem",
    subjects: "ich sie wir er es man ihr du mein meine das der die",
    answers: "das wäre alles, nicht nötig, ja, nein, jawohl, doch, genau, ganz genau, richtig, stimmt, das stimmt, okay, ok, in ordnung, \
        alles klar, passt, das passt, passt so, gerne, gern, sehr gerne, klar, natürlich, selbstverständlich, \
        auf keinen fall, auf jeden fall, bitte, danke, vielen dank, das ist richtig, das ist korrekt, korrekt, \
        nicht wirklich, noch nicht, eigentlich nicht, leider nicht, leider nein, lieber nicht, heute nicht, \
        das war's, das wars, das war alles, das ist alles, perfekt, super, wunderbar, prima, einverstanden, \
        das geht, geht klar, gut, sehr gut, das wäre super, das wäre gut, das wäre toll, das ist gut, \
        das ist okay, jo, jep, nee, nö, ne, mhm, ich glaube schon, ich denke schon, ich glaube nicht, \
        keine, keiner, sonst nichts, nichts mehr, machen wir so, von mir aus",
    courtesies: "danke, bitte, vielen dank, schön",
    assents: "okay, ok, danke, dankeschön, vielen dank, alles klar, verstehe, ich verstehe, ach so, aha, gut, \
        sehr gut, super, prima, perfekt, wunderbar, schön, in ordnung, klar, na klar, verstanden, toll, ah ja, \
        ach ja, ach, so so, gut danke, das klingt gut, klingt gut, interessant, mhm, hm, ist gut, das ist gut, \
        passt, das passt, gerne, kein problem, sehr schön, freut mich",
    affirmations: "ja, jaja, jo, jep, genau, ganz genau, richtig, stimmt, das stimmt, eben, jawohl, natürlich, \
        na ja, ja klar, ach ja, ja ja",
    digits: "null eins zwei zwo drei vier fünf sechs sieben acht neun",
    teens: "zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn",
    tens: "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig",
    numbers: "nummer telefonnummer handynummer mobilnummer kundennummer rückrufnummer kontonummer",
    dated: "um am vom bis ab gegen nach vor januar februar märz april mai juni juli august september oktober \
        november dezember",
    cards: "karte kreditkarte karten kartennummer",
    number_digits: 10,
};

const SPANISH: Lexicon = Lexicon {
    hesitations: "mire mira bueno eh em este mmm ehm pues",
    connectors: "sino calle avenida además y e o u pero porque que si con de del para por a al en el la los las un una unos unas mi mis \
        su sus tu nuestro nuestra sin sobre desde hasta entre como cuando muy lo se me te le nos aunque arroba \
        punto guion guión doble señor señora doctor doctora",
    openings: "cliente es, yo solo, realidad yo, decir a qué, saber qué, decirme qué, y también, mil novecientos, dos mil, nombre es, número es, teléfono es, correo es, electrónico es, dirección es, apellido es, \
        problema es, código es, me llamo, quisiera, me gustaría, quería, llamo para, estoy llamando, a ver, \
        un momento, un segundo, un momentito, déjeme ver, es que, lo que pasa es que, vivo en, o sea, \
        ya que, para que, a partir de, tengo que, quiero que",
    starts: "yo, quiero, necesito, puedo, podría, puede, me puede, me podría, podrían, tiene, tienen, hay, soy, \
        es, tengo, llamo, le llamo, espere, creo, creo que, estoy, quería saber, quería preguntar, hola quería",
    detached: &[],
    subordinators: "si, que, porque, cuando, aunque, para que, ya que",
    subjects: "yo usted ustedes él ella mi hay ellos",
    answers: "lo siento, no puedo, desde luego que no, desde luego que sí, muy amable, sí, si, no, claro, claro que sí, por supuesto, vale, de acuerdo, correcto, exacto, eso es, así es, \
        está bien, bueno, perfecto, gracias, muchas gracias, por favor, por ahora no, todavía no, aún no, \
        para nada, en absoluto, creo que sí, creo que no, me parece bien, me viene bien, desde luego, ok, okay, \
        nada más, eso es todo, es todo, ninguno, ninguna, tampoco, cómo no, dale, listo, genial, estupendo, ya, \
        venga, mejor no, ahora no, hoy no, de ninguna manera, exactamente, efectivamente, eso, muy bien, así está bien, \
        está perfecto, me va bien, no hace falta, nada, que yo sepa no, la verdad no, la verdad es que no",
    courtesies: "muy amable, gracias, muchas gracias, por favor, señor, señora, señorita",
    assents: "vale, ok, okay, de acuerdo, entiendo, ya veo, ya, ajá, bueno, bien, muy bien, perfecto, gracias, \
        muchas gracias, genial, estupendo, entendido, ah, ah ya, qué bien, claro, está bien, comprendo, listo, \
        dale, ah bueno, ah vale, ah okay, ah ok, excelente, qué bueno, me parece bien",
    affirmations: "sí, si, claro, claro que sí, exacto, eso, eso es, así es, correcto, por supuesto, cierto",
    digits: "cero uno dos tres cuatro cinco seis siete ocho nueve",
    teens: "diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve veintiuno veintidós \
        veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve",
    tens: "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    numbers: "número numero teléfono móvil celular dni cuenta",
    dated: "las la el a de enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre \
        diciembre día",
    cards: "tarjeta",
    number_digits: 9,
};

const FRENCH: Lexicon = Lexicon {
    hesitations: "alors écoutez euh heu ben bah hum hm",
    connectors: "m'avez quel quelle quels quelles rue avenue et ou mais car donc que qui si avec de du des pour par à au aux en dans sans chez vers entre \
        depuis jusque jusqu'à jusqu'au le la les un une mon ma mes notre nos votre vos son sa ses ce cette cet \
        ces très comme quand lorsque puisque afin je docteur arobase point tiret double numéro",
    openings: "fait c'est, à monsieur, à madame, voulais juste, vous auriez, auriez vous, vous pourriez, puis aussi, et aussi, neuf cent, deux mille, nom est, nom c'est, numéro est, numéro c'est, adresse est, mail est, mail c'est, problème c'est, \
        code est, je voudrais, j'aimerais, je souhaite, je souhaiterais, je veux, je m'appelle, j'appelle pour, \
        je vous appelle, je voulais, je voulais savoir, attendez, un instant, un moment, une seconde, voyons, \
        parce que, à partir de, au nom de, né le, née le, c'est à dire, est ce que vous, est ce que je, \
        est ce que c'est, est ce qu'il, est ce qu'on, c'est que, voir si vous, besoin de",
    starts: "je cherche, j'ai, j'ai besoin, je suis, pouvez vous, pourriez vous, je peux, puis je, est ce que, \
        avez vous, j'appelle, c'est, c'est pour, il y a, je crois, je crois que, je pense, c'est le, en fait, \
        vous avez, nous, nous voudrions, on voudrait, alors",
    detached: &[],
    subordinators: "si, que, parce que, quand, lorsque, puisque, comme",
    subjects: "vous je tu il elle on nous ils elles c'est mon ma",
    answers: "ce n'est pas la peine, oui, non, si, ouais, d'accord, exactement, tout à fait, c'est ça, c'est cela, c'est bien ça, voilà, \
        bien sûr, s'il vous plaît, merci, absolument, effectivement, parfait, très bien, ça marche, ça me va, \
        ça va, c'est bon, c'est parfait, pas vraiment, pas encore, pas du tout, pas pour l'instant, \
        pas aujourd'hui, c'est tout, ce sera tout, ok, okay, volontiers, avec plaisir, entendu, je crois que oui, \
        je pense que oui, je crois, je ne crois pas, je pense que non, peut être, certainement, super, génial, \
        correct, c'est correct, c'est exact, exact, aucun problème, pas de problème, jamais, plutôt pas, \
        ça ira, bonne idée, c'est moi, aucune, aucun, ça me convient, c'est juste",
    courtesies: "merci, merci beaucoup, s'il vous plaît, madame, monsieur",
    assents: "d'accord, ok, okay, je vois, je comprends, très bien, bien, parfait, merci, merci beaucoup, super, \
        entendu, compris, ah, ah d'accord, ah bon, ah ok, génial, ça marche, c'est noté, bon, hum hum, mhm, \
        c'est bien, excellent, ah oui d'accord, pas de problème, formidable, c'est parfait",
    affirmations: "oui, ouais, voilà, exactement, c'est ça, tout à fait, bien sûr, effectivement, ah oui, \
        absolument, oui oui, c'est vrai",
    digits: "zéro un deux trois quatre cinq six sept huit neuf",
    teens: "dix onze douze treize quatorze quinze seize",
    tens: "dix vingt vingts trente quarante cinquante soixante",
    numbers: "numéro téléphone portable",
    dated: "à le du au vers avant après janvier février mars avril mai juin juillet août septembre octobre \
        novembre décembre",
    cards: "carte",
    number_digits: 10,
};

const PORTUGUESE: Lexicon = Lexicon {
    hesitations: "então olha bom hã ahn hum eh ã tipo hmm",
    connectors: "me às rua avenida e ou mas porque pois que se com de do da dos das para pra pro por pelo pela a ao à em no na nos \
        nas o os as um uma meu minha meus minhas seu sua sem sobre desde até entre como quando muito num numa \
        ponto arroba traço hífen doutor doutora senhor duplo",
    openings: "na verdade, dizer que horas, eu só, então eu, nascimento é, e também, mil novecentos, dois mil, nome é, número é, telefone é, mail é, email é, endereço é, sobrenome é, cpf é, problema é, \
        eu queria, queria, eu gostaria, gostaria, me chamo, eu moro, eu moro na, estou ligando, tô ligando, \
        um momento, um minutinho, um minuto, um segundo, só um instante, só um momento, deixa eu ver, é que, \
        eu queria saber, é o seguinte, a partir de, para que, já que, queria ver, preciso de",
    starts: "eu, eu quero, quero, eu preciso, preciso, você pode, vocês têm, vocês tem, tem, tem como, será, \
        será que, espera, acho que, eu tenho, eu sou, o senhor pode, a senhora pode, posso, eu posso, poderia, \
        liguei, eu liguei, é, aqui é, meu nome, então",
    detached: &[],
    subordinators: "se, que, porque, quando, para que, já que",
    subjects: "eu você vocês ele ela a o meu minha eles tem",
    answers: "era só isso, era só isso mesmo, claro que sim, claro que não, está certo, só isso mesmo, sim, não, isso, isso mesmo, exato, exatamente, certo, tá, tá bom, tá certo, está bom, está bem, ok, \
        okay, claro, com certeza, pode ser, pode, pode sim, por favor, obrigado, obrigada, beleza, perfeito, \
        ótimo, ainda não, não precisa, só isso, é só isso, é isso, é, é sim, é isso mesmo, combinado, \
        acho que sim, acho que não, de jeito nenhum, sem problema, tudo bem, correto, confirmo, quero, quero sim, \
        tenho, tenho sim, sou, sou eu, muito obrigado, muito obrigada, talvez, agora não, hoje não, nenhum, \
        nenhuma, positivo, fechado, tudo certo, sim senhor, não senhor, aham, uhum, nada, mais nada, por enquanto não, \
        por mim tudo bem, está ótimo, tá ótimo, melhor não, pode confirmar, serve, serve sim, não quero, não tenho",
    courtesies: "obrigado, obrigada, por favor, senhor, senhora, muito obrigado, muito obrigada",
    assents: "ok, okay, tá, tá bom, tá certo, certo, entendi, sei, beleza, legal, ótimo, perfeito, obrigado, \
        obrigada, muito obrigado, muito obrigada, ah, ah tá, ah entendi, ah sim, tudo bem, que bom, bom, muito bem, \
        está bem, está bom, combinado, maravilha, aham, uhum, claro, que ótimo, sem problema, ah que bom, ah legal",
    affirmations: "sim, isso, isso mesmo, exato, exatamente, é, claro, com certeza, verdade, é verdade, pois é",
    digits: "zero um uma dois duas três quatro cinco seis meia sete oito nove",
    teens: "dez onze doze treze quatorze catorze quinze dezesseis dezasseis dezessete dezoito dezenove",
    tens: "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa",
    numbers: "número telefone celular cpf agência conta whatsapp",
    dated: "às as dia até antes depois janeiro fevereiro março abril maio junho julho agosto setembro outubro \
        novembro dezembro de",
    cards: "cartão",
    number_digits: 10,
};

const ITALIAN: Lexicon = Lexicon {
    hesitations: "praticamente allora guardi senta ehm eh mmm uhm cioè",
    connectors: "millenovecento dalle dagli dallo nelle sulle via viale piazza e ed o oppure ma perché che se con di del della dei delle degli dello per a al alla alle ai da \
        dal dalla in nel nella su sul sulla il lo la i gli le un uno una mio mia miei mie suo sua nostro nostra \
        senza tra fra come quando molto quindi però mi ci si vi punto chiocciola trattino dottor signor doppia",
    openings: "mi avete, cliente è, volevo anche, volevo solo, poi anche, e anche, mille novecento, duemila, nome è, numero è, mail è, email è, indirizzo è, cognome è, codice è, problema è, fatto è, vorrei, \
        avrei bisogno, ho bisogno, mi chiamo, chiamo per, sto chiamando, volevo, volevo sapere, volevo chiedere, \
        un attimo, un attimino, un momento, un secondo, aspetti, vediamo, mi faccia vedere, è che, nato il, nata il, a nome, \
        si tratta, fino a, in modo che, a partire",
    starts: "io, abito, posso, potrei, può, potrebbe, avete, è possibile, mi può, mi potrebbe, potete, c'è, ho, \
        sono, credo, credo che, penso, chiamo, la chiamo, sì allora, allora, il mio, il mio nome, è",
    detached: &[],
    subordinators: "se, che, perché, quando, in modo che, visto che",
    subjects: "io lei lui loro voi noi mio mia il la è c'è",
    answers: "non serve, sì, si, no, certo, certamente, esatto, esattamente, giusto, corretto, va bene, d'accordo, ok, okay, \
        perfetto, benissimo, ottimo, grazie, grazie mille, per favore, prego, assolutamente, assolutamente no, \
        assolutamente sì, non ancora, ancora no, non proprio, per niente, è tutto, basta così, nient'altro, \
        nessuno, nessuna, direi di sì, direi di no, penso di sì, credo di sì, credo di no, penso di no, forse, \
        può andare, va benissimo, mi va bene, per me va bene, confermo, volentieri, certo che sì, come no, \
        infatti, sono io, oggi no, meglio di no, purtroppo no, niente, tutto qui, è così, proprio così, bene, \
        la ringrazio, per ora no, va bene così, è corretto, è giusto, ci mancherebbe, per carità",
    courtesies: "grazie, grazie mille, per favore, signora, signore",
    assents: "ok, okay, va bene, capito, ho capito, capisco, d'accordo, bene, benissimo, perfetto, ottimo, grazie, \
        grazie mille, ah, ah ok, ah ecco, certo, chiaro, ecco, va benissimo, ah bene, ah capito, bello, che bello, \
        interessante, mhm, la ringrazio, nessun problema, tutto chiaro",
    affirmations: "sì, si, esatto, giusto, certo, infatti, esattamente, già, vero, proprio così, eh sì, sì sì",
    digits: "zero uno due tre quattro cinque sei sette otto nove",
    teens: "dieci undici dodici tredici quattordici quindici sedici diciassette diciotto diciannove",
    tens: "venti trenta quaranta cinquanta sessanta settanta ottanta novanta",
    numbers: "numero telefono cellulare",
    dated: "alle le il dal al ore gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre \
        novembre dicembre",
    cards: "carta",
    number_digits: 9,
};
