package plant

import (
	"fmt"

	"assay/internal/dataset"
)

// Manifest says what was planted, record by record.
type Manifest struct {
	Attack  Description      `json:"attack"`
	Rate    float64          `json:"rate"`
	Target  string           `json:"target,omitempty"` // the class that the poison is to give
	Seed    uint64           `json:"seed"`
	Records int              `json:"records"` // with the poison in them
	Planted []ManifestRecord `json:"planted"`
}

// ManifestRecord is one planted record.
type ManifestRecord struct {
	Record   int            `json:"record"`    // its number in the data with the poison, from 1
	From     int64          `json:"from"`      // the number in its source of the record that it was made from
	Label    string         `json:"label"`     // that it has
	WasLabel string         `json:"was_label"` // that of the record that it was made from
	Digest   dataset.Digest `json:"digest"`    // as dataset.Digest
	Was      dataset.Digest `json:"was"`       // of the record that it was made from
}

// NewManifest describes what was planted in the data d.
func NewManifest(of Description, o Options, d *dataset.Dataset, p *Planted) (*Manifest, error) {
	classes := d.Schema.Label.Classes
	m := &Manifest{Attack: of, Rate: o.Rate, Seed: o.Seed, Records: p.Dataset.Len(), Planted: []ManifestRecord{}}
	if p.Target >= 0 {
		m.Target = classes[p.Target]
	}
	for i, planted := range p.Which {
		from := p.From[i]
		r := ManifestRecord{Record: i + 1, From: d.Number[from], Digest: p.Dataset.Digest(i), Was: d.Digest(from)}
		switch {
		case planted:
			r.Label, r.WasLabel = classes[p.Dataset.Y[i]], classes[d.Y[from]]
			m.Planted = append(m.Planted, r)
		case r.Digest != r.Was:
			return nil, fmt.Errorf("record %d was changed by %s, which does not say so: report this as a fault", i+1, of.Name)
		}
	}
	return m, nil
}
