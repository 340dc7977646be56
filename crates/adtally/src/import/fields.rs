//! The fields of one row, and how quotes divide it.

/// The fields of a row.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Fields {
    text: Vec<u8>,
    /// Where in the text each field ends.
    ends: Vec<usize>,
}

impl Fields {
    /// The fields of a line without quotes.
    pub(super) fn unquoted(line: &[u8], delimiter: u8) -> Self {
        let mut fields = Self::default();
        for field in line.split(|byte| *byte == delimiter) {
            fields.text.extend_from_slice(field);
            fields.end_field();
        }
        fields
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    /// The field at `index`, from 0.
    pub(super) fn get(&self, index: usize) -> Option<&[u8]> {
        let start = match index.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.text.get(start..*self.ends.get(index)?)
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).filter_map(|index| self.get(index))
    }

    fn end_field(&mut self) {
        self.ends.push(self.text.len());
    }

    fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }
}

/// Where a line's quotes are not those of RFC 4180. Columns count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum QuoteFault {
    /// More text follows the quote that closes a field.
    ClosedEarly { column: usize },
    /// The quote that opens a field is never closed.
    NeverClosed { column: usize },
}

/// Where the splitter stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a field.
    Start,
    /// In a field without quotes, where quotes mean themselves.
    Plain,
    /// Within quotes.
    Quoted,
    /// Behind a quote within quotes: the end of the field, or the first half of a doubled quote.
    Closing,
}

/// Splits rows whose fields may be in quotes, as RFC 4180 has them.
#[derive(Debug)]
pub(super) struct Splitter {
    delimiter: u8,
    state: State,
    fields: Fields,
    fault: Option<QuoteFault>,
    delimiters_in_quotes: usize,
    bare_cr: bool,
}

impl Splitter {
    /// A splitter of rows whose fields are separated by `delimiter`.
    pub(super) fn new(delimiter: u8) -> Self {
        Self {
            delimiter,
            state: State::Start,
            fields: Fields::default(),
            fault: None,
            delimiters_in_quotes: 0,
            bare_cr: false,
        }
    }

    /// Reads the first line of a row.
    pub(super) fn first_line(&mut self, line: &[u8]) {
        self.state = State::Start;
        self.fields.clear();
        self.fault = None;
        self.bare_cr = false;
        self.line(line);
    }

    /// Reads a further line of a row that is open.
    pub(super) fn further_line(&mut self, line: &[u8]) {
        self.fields.text.push(b'\n');
        self.line(line);
    }

    /// Whether the row goes on in the next line, within quotes.
    pub(super) fn is_open(&self) -> bool {
        self.state == State::Quoted
    }

    /// What is wrong with the row, were it to end here.
    pub(super) fn fault(&self) -> Option<QuoteFault> {
        let open = self.is_open().then(|| self.never_closed());
        self.fault.or(open)
    }

    /// The fault of a row whose last field opens with a quote that closes nowhere.
    pub(super) fn never_closed(&self) -> QuoteFault {
        QuoteFault::NeverClosed {
            column: self.column(),
        }
    }

    /// How many delimiters the last line has within quotes.
    pub(super) fn delimiters_in_quotes(&self) -> usize {
        self.delimiters_in_quotes
    }

    /// Whether a CR stands outside of quotes.
    pub(super) fn has_bare_cr(&self) -> bool {
        self.bare_cr
    }

    /// The fields so far. Text behind a closing quote is added to its field.
    pub(super) fn fields(&self) -> &Fields {
        &self.fields
    }

    fn column(&self) -> usize {
        self.fields.len() + 1
    }

    fn line(&mut self, line: &[u8]) {
        self.delimiters_in_quotes = 0;
        for byte in line.iter().copied() {
            self.state = self.next(byte);
        }
        if !self.is_open() {
            self.fields.end_field();
        }
    }

    fn next(&mut self, byte: u8) -> State {
        match (self.state, byte) {
            (State::Start, b'"') => return State::Quoted,
            (State::Quoted, b'"') => return State::Closing,
            (State::Quoted, _) => {
                self.delimiters_in_quotes += usize::from(byte == self.delimiter);
                self.fields.text.push(byte);
                return State::Quoted;
            }
            (State::Closing, b'"') => {
                self.fields.text.push(byte);
                return State::Quoted;
            }
            (_, byte) if byte == self.delimiter => {
                self.fields.end_field();
                return State::Start;
            }
            (State::Closing, _) => {
                let column = self.column();
                self.fault.get_or_insert(QuoteFault::ClosedEarly { column });
            }
            (State::Start | State::Plain, _) => {}
        }
        self.bare_cr |= byte == b'\r';
        self.fields.text.push(byte);
        State::Plain
    }
}
