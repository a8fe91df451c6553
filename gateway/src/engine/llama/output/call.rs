//! One tool call's JSON, read character by character: its name as soon as it is whole, its arguments as they come.

/// What one character did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// The call goes on.
    More,
    /// The character ended the call.
    Done,
    /// The character cannot be part of a call; it was not read.
    Broken,
}

/// Reads `{"name": …, "arguments": {…}}`, keys in any order, unknown keys skipped; `parameters` is `arguments`.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "four independent facts about the text so far")]
pub(super) struct CallScanner {
    at: At,
    field: Field,
    /// Only the arguments follow, because the name came before the JSON.
    bare: bool,
    /// The string being read, with its quotes.
    text: String,
    escaped: bool,
    quoted: bool,
    depth: u32,
    name: Option<String>,
    /// Arguments read and not yet taken.
    fragment: String,
    has_arguments: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Open,
    FirstKey,
    Key,
    InKey,
    Colon,
    Value,
    InString,
    InNested,
    InScalar,
    Comma,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    Name,
    Arguments,
    Other,
}

impl CallScanner {
    /// A scanner that expects a whole call.
    pub(super) fn call() -> Self {
        Self {
            at: At::Open,
            field: Field::Other,
            bare: false,
            text: String::new(),
            escaped: false,
            quoted: false,
            depth: 0,
            name: None,
            fragment: String::new(),
            has_arguments: false,
        }
    }

    /// A scanner that expects only the arguments.
    pub(super) fn arguments() -> Self {
        Self { at: At::Value, field: Field::Arguments, bare: true, ..Self::call() }
    }

    /// The name, once it is known.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The arguments read since the last time, if any.
    pub(super) fn take_fragment(&mut self) -> Option<String> {
        if self.fragment.is_empty() { None } else { Some(std::mem::take(&mut self.fragment)) }
    }

    /// Ends a call that was cut off: what its arguments lack is not made up, unless none had begun.
    pub(super) fn cut(&mut self) {
        if self.at == At::InString && self.field == Field::Arguments {
            self.end_string();
        }
        if self.at == At::InScalar && self.field == Field::Arguments {
            self.end_scalar();
        }
    }

    /// Ends a call whose arguments never came: it has none.
    pub(super) fn complete_arguments(&mut self) {
        if !self.has_arguments {
            self.has_arguments = true;
            self.fragment.push_str("{}");
        }
    }

    /// Reads one character.
    pub(super) fn push(&mut self, c: char) -> Step {
        match self.at {
            At::InKey | At::InString => self.in_string(c),
            At::InNested => self.in_nested(c),
            At::InScalar => self.in_scalar(c),
            _ if matches!(c, ' ' | '\n' | '\r' | '\t') => Step::More,
            At::Value => self.value(c),
            At::Open => self.expect(c == '{', At::FirstKey),
            At::FirstKey | At::Comma if c == '}' => self.close(),
            At::FirstKey | At::Key => {
                self.text.clear();
                self.text.push('"');
                self.expect(c == '"', At::InKey)
            }
            At::Colon => self.expect(c == ':', At::Value),
            At::Comma => self.expect(c == ',', At::Key),
        }
    }

    fn expect(&mut self, met: bool, next: At) -> Step {
        if !met {
            return Step::Broken;
        }
        self.at = next;
        Step::More
    }

    fn close(&mut self) -> Step {
        if self.name.is_none() {
            return Step::Broken;
        }
        self.complete_arguments();
        Step::Done
    }

    fn value(&mut self, c: char) -> Step {
        match (self.field, c) {
            (_, '"') => {
                self.text.clear();
                self.text.push(c);
                self.at = At::InString;
            }
            (Field::Name, _) | (_, '}' | ']' | ',' | ':') => return Step::Broken,
            (field, '{' | '[') => {
                self.at = At::InNested;
                self.depth = 1;
                if field == Field::Arguments {
                    self.has_arguments = true;
                    self.fragment.push(c);
                }
            }
            (_, _) => {
                self.text.clear();
                self.text.push(c);
                self.at = At::InScalar;
            }
        }
        Step::More
    }

    fn in_string(&mut self, c: char) -> Step {
        // A skipped string need not be kept, whatever its length.
        if self.at == At::InKey || self.field != Field::Other {
            self.text.push(c);
        }
        if self.escaped {
            self.escaped = false;
        } else if c == '\\' {
            self.escaped = true;
        } else if c == '"' {
            return self.end_string();
        }
        Step::More
    }

    fn end_string(&mut self) -> Step {
        if self.at == At::InKey {
            self.field = match self.text.as_str() {
                "\"name\"" if self.name.is_none() => Field::Name,
                "\"arguments\"" | "\"parameters\"" if !self.has_arguments => Field::Arguments,
                _ => Field::Other,
            };
            self.at = At::Colon;
            return Step::More;
        }
        let decoded = serde_json::from_str::<String>(&self.text).ok();
        match self.field {
            Field::Name => match decoded.filter(|name| !name.trim().is_empty()) {
                Some(name) => self.name = Some(name),
                None => return Step::Broken,
            },
            // Some models write the arguments as JSON inside a string; cut off, the text stays as it came.
            Field::Arguments => {
                self.has_arguments = true;
                self.fragment
                    .push_str(decoded.as_deref().unwrap_or_else(|| self.text.get(1..).unwrap_or_default()));
            }
            Field::Other => {}
        }
        self.end_value()
    }

    fn in_nested(&mut self, c: char) -> Step {
        if self.field == Field::Arguments {
            self.fragment.push(c);
        }
        match c {
            _ if self.escaped => self.escaped = false,
            '\\' if self.quoted => self.escaped = true,
            '"' => self.quoted = !self.quoted,
            '{' | '[' if !self.quoted => self.depth = self.depth.saturating_add(1),
            '}' | ']' if !self.quoted => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
        if self.depth == 0 { self.end_value() } else { Step::More }
    }

    fn in_scalar(&mut self, c: char) -> Step {
        if matches!(c, ',' | '}' | ']' | ' ' | '\n' | '\r' | '\t') {
            if serde_json::from_str::<serde_json::Value>(&self.text).is_err() {
                return Step::Broken;
            }
            self.end_scalar();
            return self.push(c);
        }
        let part = c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
        if part {
            self.text.push(c);
        }
        if part { Step::More } else { Step::Broken }
    }

    fn end_scalar(&mut self) {
        if self.field == Field::Arguments && self.text != "null" {
            self.has_arguments = true;
            self.fragment.push_str(&self.text);
        }
        self.at = At::Comma;
    }

    fn end_value(&mut self) -> Step {
        self.at = At::Comma;
        if self.bare { Step::Done } else { Step::More }
    }
}
