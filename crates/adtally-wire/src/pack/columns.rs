//! The columns of a pack: the names of the values in its entries.

use serde::de::Error as _;
use serde_json::Error;
use serde_json::value::RawValue;

/// Bytes of everything that a pack says once, at most. A dead letter repeats it for each bad entry. This
/// build's packs have some 120.
const MOST_BYTES: usize = 1_024;

/// What a pack says once of all of its entries.
pub(super) struct Columns<'a> {
    kind: Option<&'a RawValue>,
    fields: Vec<String>,
}

impl<'a> Columns<'a> {
    /// The names in `fields`, and the kind of all events if the pack has it.
    ///
    /// # Errors
    /// Why an entry could not say them of itself.
    pub(super) fn new(kind: Option<&'a RawValue>, fields: Vec<String>) -> Result<Self, String> {
        let mut names: Vec<&str> = fields.iter().map(String::as_str).collect();
        names.extend(kind.map(|_| "kind"));
        names.sort_unstable();
        if !names.is_sorted_by(|name, next| name < next) {
            return Err("a name comes twice".to_owned());
        }
        let of_kind = kind.map_or(0, |kind| kind.get().len());
        if of_kind + names.iter().map(|name| name.len()).sum::<usize>() > MOST_BYTES {
            return Err(format!("they take more than {MOST_BYTES} bytes"));
        }
        Ok(Self { kind, fields })
    }

    /// The values of an entry with their names, the kind among them.
    ///
    /// # Errors
    /// What it is instead of a list of no more values than there are names.
    pub(super) fn zip_with<'e>(
        &'e self,
        entry: &'e RawValue,
    ) -> Result<impl Iterator<Item = (&'e str, &'e RawValue)>, Error> {
        let values: Vec<&RawValue> = serde_json::from_str(entry.get())?;
        if values.len() > self.fields.len() {
            return Err(Error::custom("it has more values than the pack has fields"));
        }
        let kind = self.kind.map(|kind| ("kind", kind));
        let fields = self.fields.iter().map(String::as_str);
        Ok(kind.into_iter().chain(fields.zip(values)))
    }
}
