package catalog

import (
	"fmt"
	"maps"
	"slices"

	"assay"
)

// Attacker is what an attacker of a potential can do.
type Attacker struct {
	ID            string         `yaml:"id" json:"id"`
	Title         string         `yaml:"title" json:"title"`
	Text          string         `yaml:"text" json:"text"`
	Rating        Rating         `yaml:"rating" json:"rating"`
	Potential     string         `yaml:"potential" json:"potential"` // what the rating comes to
	Access        assay.Access   `yaml:"access" json:"access"`
	Queries       int            `yaml:"queries" json:"queries"` // to the model, for each unit
	Perturbations []Perturbation `yaml:"perturbations" json:"perturbations"`
	Poison        []Poison       `yaml:"poison,omitempty" json:"poison,omitempty"`
	Why           string         `yaml:"why,omitempty" json:"why,omitempty"`
}

// Poison is what an attacker can plant into training data: kinds of it, by the names of assay plant, each
// in a share of the records.
type Poison struct {
	Modality assay.Modality `yaml:"modality" json:"modality"`
	Families []string       `yaml:"families" json:"families"`
	Share    float64        `yaml:"share" json:"share"`
}

// Plants gives what the attacker can plant into data of a kind, nil for nothing.
func (a *Attacker) Plants(m assay.Modality) *Poison {
	for i := range a.Poison {
		if a.Poison[i].Modality == m {
			return &a.Poison[i]
		}
	}
	return nil
}

// Perturbation is how far an attacker can change an input. Eps is a share of what a
// number can be: of a pixel's full range, or of a feature's range in the schema; in L0 it is how many may change, of a text the share of its words.
type Perturbation struct {
	Modality assay.Modality `yaml:"modality" json:"modality"`
	Norm     string         `yaml:"norm" json:"norm"` // Linf, L2, L1, L0 or words
	Eps      float64        `yaml:"eps" json:"eps"`
}

// Within gives how far the attacker can change inputs of a kind.
func (a *Attacker) Within(m assay.Modality) []Perturbation {
	var within []Perturbation
	for _, p := range a.Perturbations {
		if p.Modality == m {
			within = append(within, p)
		}
	}
	return within
}

// Attacker gives the attacker of an id. The error names the nearest one.
func (c *Catalog) Attacker(id string) (*Attacker, error) {
	ids := make([]string, len(c.Attackers))
	for i := range c.Attackers {
		if c.Attackers[i].ID == id {
			return &c.Attackers[i], nil
		}
		ids[i] = c.Attackers[i].ID
	}
	return nil, unknown("attacker", id, ids)
}

// Potential is how attack potential is rated: points by factor, added up.
type Potential struct {
	Source  string   `yaml:"source" json:"source"`
	Factors []Factor `yaml:"factors" json:"factors"`
	Ranges  []Range  `yaml:"ranges" json:"ranges"` // in rising order, the first from 0
}

// Factor is one of the things that an attack takes.
type Factor struct {
	ID     string  `yaml:"id" json:"id"`
	Title  string  `yaml:"title" json:"title"`
	Levels []Level `yaml:"levels" json:"levels"` // in rising order
	Why    string  `yaml:"why,omitempty" json:"why,omitempty"`
}

// Level is a level of a factor, with its points.
type Level struct {
	ID     string `yaml:"id" json:"id"`
	Title  string `yaml:"title" json:"title"`
	Points int    `yaml:"points" json:"points"`
	Why    string `yaml:"why,omitempty" json:"why,omitempty"`
}

// Range is the potential that points come to, from so many on.
type Range struct {
	ID   string `yaml:"id" json:"id"`
	From int    `yaml:"from" json:"from"`
	Why  string `yaml:"why,omitempty" json:"why,omitempty"`
}

// Rating is the level of each factor, by the factors' ids.
type Rating map[string]string

// Rate gives the points of a rating and the potential that they come to, as the
// Common Methodology (ISO/IEC 18045) adds them up. Every factor must be rated.
func (c *Catalog) Rate(r Rating) (points int, potential string, err error) {
	rated := 0
	for _, f := range c.Potential.Factors {
		level, ok := r[f.ID]
		if !ok {
			return 0, "", fmt.Errorf("the rating lacks the factor %s", f.ID)
		}
		rated++
		i := slices.IndexFunc(f.Levels, func(l Level) bool { return l.ID == level })
		if i < 0 {
			var ids []string
			for _, l := range f.Levels {
				ids = append(ids, l.ID)
			}
			return 0, "", fmt.Errorf("%s: %w", f.ID, unknown("level", level, ids))
		}
		points += f.Levels[i].Points
	}
	if rated != len(r) {
		for _, id := range slices.Sorted(maps.Keys(r)) {
			if !slices.ContainsFunc(c.Potential.Factors, func(f Factor) bool { return f.ID == id }) {
				return 0, "", fmt.Errorf("there is no factor %q of attack potential", id)
			}
		}
	}
	for _, rg := range c.Potential.Ranges {
		if points >= rg.From {
			potential = rg.ID
		}
	}
	return points, potential, nil
}
