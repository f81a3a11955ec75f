//! Descriptors for tests, written by hand: structures and the frames that use them.

use super::structure::Indication;
use crate::wire::codec::Layer;
use crate::wire::codec::bits::BitWriter;

/// A template: layer and one indication for each decode target.
pub struct WrittenTemplate {
    pub layer: Layer,
    pub indications: Vec<Indication>,
    pub references: Vec<u32>,
}

/// A structure; templates stand in the order of their layers. Two chains protect the first decode target and the others.
pub struct WrittenStructure {
    pub offset: u8,
    pub templates: Vec<WrittenTemplate>,
    pub sizes: Vec<(u32, u32)>,
}

/// A frame's descriptor in one packet.
pub struct WrittenFrame<'a> {
    pub starts: bool,
    pub ends: bool,
    pub template_id: u8,
    pub number: u16,
    pub structure: Option<&'a WrittenStructure>,
    /// Decode targets and their mask.
    pub active: Option<(usize, u32)>,
    pub references: Option<&'a [u32]>,
}

fn code(indication: Indication) -> u32 {
    match indication {
        Indication::NotPresent => 0,
        Indication::Discardable => 1,
        Indication::Switch => 2,
        Indication::Required => 3,
    }
}

impl WrittenStructure {
    fn write(&self, writer: &mut BitWriter<'_>) {
        let targets = self.templates[0].indications.len();
        writer.bits(self.offset.into(), 6).unwrap();
        writer.bits(targets as u32 - 1, 5).unwrap();
        for (index, template) in self.templates.iter().enumerate() {
            let next = self.templates.get(index + 1).map(|next| next.layer);
            let step = match next {
                None => 3,
                Some(next) if next == template.layer => 0,
                Some(next) if next.spatial == template.layer.spatial => 1,
                Some(_) => 2,
            };
            writer.bits(step, 2).unwrap();
        }
        for template in &self.templates {
            template.indications.iter().for_each(|indication| writer.bits(code(*indication), 2).unwrap());
        }
        for template in &self.templates {
            for reference in &template.references {
                writer.bits(1 << 4 | (reference - 1), 5).unwrap();
            }
            writer.flag(false).unwrap();
        }
        write_below(writer, 2, targets as u32 + 1);
        for target in 0..targets {
            write_below(writer, u32::from(target > 0), 2);
        }
        (0..2 * self.templates.len()).for_each(|_| writer.bits(0, 4).unwrap());
        writer.flag(!self.sizes.is_empty()).unwrap();
        for (width, height) in &self.sizes {
            writer.bits(width - 1, 16).unwrap();
            writer.bits(height - 1, 16).unwrap();
        }
    }
}

/// ns(n)
fn write_below(writer: &mut BitWriter<'_>, value: u32, values: u32) {
    let width = u32::BITS - values.leading_zeros();
    let short = (1 << width) - values;
    if value < short {
        writer.bits(value, width as usize - 1).unwrap();
    } else {
        writer.bits(value + short, width as usize).unwrap();
    }
}

impl<'a> WrittenFrame<'a> {
    /// A whole frame in one packet, of which nothing is said but its template.
    pub fn new(template_id: u8, number: u16) -> WrittenFrame<'a> {
        WrittenFrame { starts: true, ends: true, template_id, number, structure: None, active: None, references: None }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = [0; super::DESCRIPTOR_BYTES];
        let mut writer = BitWriter::new(&mut bytes);
        writer.flag(self.starts).unwrap();
        writer.flag(self.ends).unwrap();
        writer.bits(self.template_id.into(), 6).unwrap();
        writer.bits(self.number.into(), 16).unwrap();
        if self.structure.is_some() || self.active.is_some() || self.references.is_some() {
            self.write_extended(&mut writer);
        }
        let len = writer.len();
        bytes[..len].to_vec()
    }

    fn write_extended(&self, writer: &mut BitWriter<'_>) {
        for flag in [self.structure.is_some(), self.active.is_some(), false, self.references.is_some(), false] {
            writer.flag(flag).unwrap();
        }
        if let Some(structure) = self.structure {
            structure.write(writer);
        }
        if let Some((targets, mask)) = self.active {
            writer.bits(mask, targets).unwrap();
        }
        for reference in self.references.unwrap_or_default() {
            let size = if *reference <= 16 { 1 } else { 2 };
            writer.bits(size, 2).unwrap();
            writer.bits(reference - 1, 4 * size as usize).unwrap();
        }
        if self.references.is_some() {
            writer.bits(0, 2).unwrap();
        }
    }
}
