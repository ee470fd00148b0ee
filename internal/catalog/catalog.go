// Package catalog is what Assay knows beforehand: the 25 cells of vulnerabilities and
// functions, the goals of each with what decides them, default criteria by level of
// risk, attackers by their potential, and ids in public catalogues. It is data, in
// YAML files embedded in the program; a user's files add to it and override it, with
// a reason for everything that they replace.
package catalog

import (
	"fmt"
	"slices"
	"strings"

	"assay"
	"assay/internal/criteria"
)

// Format is the format of a catalogue file. A field is never given another meaning
// under the same format.
const Format = "assay-catalogue/1"

// Catalog is a whole catalogue. It is not changed once it is read.
type Catalog struct {
	Format          string          `yaml:"format" json:"format"`
	Version         string          `yaml:"version" json:"version"` // of the content
	Catalogues      []Catalogue     `yaml:"catalogues" json:"catalogues"`
	Everywhere      Mappings        `yaml:"everywhere" json:"everywhere"` // ids of every goal
	Evidence        []Evidence      `yaml:"evidence" json:"evidence"`
	Potential       Potential       `yaml:"potential" json:"potential"`
	Attackers       []Attacker      `yaml:"attackers" json:"attackers"`
	Vulnerabilities []Vulnerability `yaml:"vulnerabilities" json:"vulnerabilities"`
	Cells           []Cell          `yaml:"cells" json:"cells"`
	Goals           []Goal          `yaml:"goals" json:"goals"`

	Overrides []Override `yaml:"-" json:"overrides,omitempty"`
}

// Mappings are ids in other catalogues, by the id of the catalogue.
type Mappings map[string][]string

// Catalogue is a public catalogue whose ids are referred to.
type Catalogue struct {
	ID      string            `yaml:"id" json:"id"`
	Title   string            `yaml:"title" json:"title"`
	Version string            `yaml:"version" json:"version"`
	URL     string            `yaml:"url,omitempty" json:"url,omitempty"`
	Page    string            `yaml:"page,omitempty" json:"page,omitempty"`     // of one id: {id} and {kind} are filled in
	Titles  map[string]string `yaml:"titles,omitempty" json:"titles,omitempty"` // of ids, where they are known
	Why     string            `yaml:"why,omitempty" json:"why,omitempty"`
}

// Evidence is a kind of evidence that decides goals.
type Evidence struct {
	ID    string `yaml:"id" json:"id"`
	Title string `yaml:"title" json:"title"`
	Text  string `yaml:"text" json:"text"`
	Why   string `yaml:"why,omitempty" json:"why,omitempty"`
}

// Vulnerability is one of the five classes.
type Vulnerability struct {
	ID       assay.Vulnerability `yaml:"id" json:"id"`
	Title    string              `yaml:"title" json:"title"`
	Text     string              `yaml:"text" json:"text"`
	Mappings Mappings            `yaml:"mappings,omitempty" json:"mappings,omitempty"` // threats
	Why      string              `yaml:"why,omitempty" json:"why,omitempty"`
}

// Cell is one of the 25 cells.
type Cell struct {
	Cell      assay.Cell `yaml:"cell" json:"cell"`
	Title     string     `yaml:"title" json:"title"`
	Text      string     `yaml:"text" json:"text"`           // its definition
	Solutions []string   `yaml:"solutions" json:"solutions"` // kinds that are known
	Decides   []string   `yaml:"decides" json:"decides"`     // what decides whether one is adequate
	// Sources were read; those unchecked are named from memory, and must be checked before
	// they are cited to anybody.
	Sources   []string `yaml:"sources,omitempty" json:"sources,omitempty"`
	Unchecked []string `yaml:"unchecked,omitempty" json:"unchecked,omitempty"`
	Mappings  Mappings `yaml:"mappings,omitempty" json:"mappings,omitempty"` // controls and provisions
	Why       string   `yaml:"why,omitempty" json:"why,omitempty"`
}

// Goal is a vulnerability-related goal.
type Goal struct {
	ID        string     `yaml:"id" json:"id"` // vulnerability-function, perhaps with more behind it
	Cell      assay.Cell `yaml:"cell" json:"cell"`
	Title     string     `yaml:"title" json:"title"`
	Statement string     `yaml:"statement" json:"statement"` // what must hold
	Asset     string     `yaml:"asset" json:"asset"`
	Metric    string     `yaml:"metric" json:"metric"`     // the first that decides it
	Evidence  []string   `yaml:"evidence" json:"evidence"` // kinds that are needed
	// Defaults are criteria for what Assay can test by itself, and for no more.
	Defaults []Proposal `yaml:"defaults,omitempty" json:"defaults,omitempty"`
	Why      string     `yaml:"why,omitempty" json:"why,omitempty"`
}

// Proposal is the criterion that is proposed at a level of risk, and the attacker: none where what an
// attacker changes is no input, so that there is nothing to bound.
type Proposal struct {
	Level      assay.Level        `yaml:"level" json:"level"`
	Modalities []assay.Modality   `yaml:"modalities,flow" json:"modalities"`
	Attacker   string             `yaml:"attacker,omitempty" json:"attacker,omitempty"`
	Criterion  criteria.Criterion `yaml:"criterion" json:"criterion"`
	Why        string             `yaml:"why" json:"why"`
}

// Override is something that a user's file replaced.
type Override struct {
	What   string `json:"what"` // such as "goal evasion-prevent, level high: criterion limit"
	From   string `json:"from"`
	To     string `json:"to"`
	Reason string `json:"reason"`
	Where  string `json:"where"` // file:line
}

// ID is an id in another catalogue.
type ID struct {
	Catalogue string `json:"catalogue"` // its title
	Version   string `json:"version"`
	ID        string `json:"id"`
	Title     string `json:"title,omitempty"`
	URL       string `json:"url,omitempty"`
}

// Goal gives the goal of an id. The error names the nearest one.
func (c *Catalog) Goal(id string) (*Goal, error) {
	ids := make([]string, len(c.Goals))
	for i := range c.Goals {
		if c.Goals[i].ID == id {
			return &c.Goals[i], nil
		}
		ids[i] = c.Goals[i].ID
	}
	return nil, unknown("goal", id, ids)
}

// Cell gives the entry of a cell, nil where there is none, which is for no cell of
// assay.Cells.
func (c *Catalog) Cell(cell assay.Cell) *Cell {
	for i := range c.Cells {
		if c.Cells[i].Cell == cell {
			return &c.Cells[i]
		}
	}
	return nil
}

// GoalsOf gives the goals of a cell.
func (c *Catalog) GoalsOf(cell assay.Cell) []*Goal {
	var goals []*Goal
	for i := range c.Goals {
		if c.Goals[i].Cell == cell {
			goals = append(goals, &c.Goals[i])
		}
	}
	return goals
}

// Criterion gives the default criterion of a goal for a kind of data and a level of
// risk, and the attacker that it means, if any. It is an error where there is none, because
// Assay has no method to test it by; the error says what evidence would be needed.
func (c *Catalog) Criterion(goal string, modality assay.Modality, level assay.Level) (criteria.Criterion, Attacker, error) {
	g, err := c.Goal(goal)
	if err != nil {
		return criteria.Criterion{}, Attacker{}, err
	}
	for _, d := range g.Defaults {
		if d.Level != level || !slices.Contains(d.Modalities, modality) {
			continue
		}
		if d.Attacker == "" {
			return clone(d.Criterion), Attacker{}, nil
		}
		a, err := c.Attacker(d.Attacker)
		if err != nil {
			return criteria.Criterion{}, Attacker{}, err
		}
		return clone(d.Criterion), *a, nil
	}
	return criteria.Criterion{}, Attacker{}, fmt.Errorf(
		"the catalogue has no criterion for %s on %s data at %s risk: no method of Assay can test it; it takes %s, and a criterion of your own",
		goal, modality, level, strings.Join(g.Evidence, " and "))
}

// clone keeps what a caller changes from changing the catalogue.
func clone(c criteria.Criterion) criteria.Criterion {
	c.Costs, c.Checks = slices.Clone(c.Costs), slices.Clone(c.Checks)
	return c
}

// IDs gives the ids that a goal answers to in other catalogues: those of its
// vulnerability, of its cell, and of every goal.
func (c *Catalog) IDs(g *Goal) []ID {
	all := []Mappings{c.Everywhere}
	if cell := c.Cell(g.Cell); cell != nil {
		all = append(all, cell.Mappings)
	}
	for i := range c.Vulnerabilities {
		if c.Vulnerabilities[i].ID == g.Cell.Vulnerability {
			all = append(all, c.Vulnerabilities[i].Mappings)
		}
	}
	var ids []ID
	for i := range c.Catalogues {
		from := &c.Catalogues[i]
		start := len(ids)
		for _, m := range all {
			for _, id := range m[from.ID] {
				if !slices.ContainsFunc(ids[start:], func(known ID) bool { return known.ID == id }) {
					ids = append(ids, from.resolve(id))
				}
			}
		}
	}
	return ids
}

func (c *Catalogue) resolve(id string) ID {
	r := ID{Catalogue: c.Title, Version: c.Version, ID: id, Title: c.Titles[id], URL: c.URL}
	if c.Page != "" {
		kind, page := "techniques", id
		if strings.HasPrefix(id, "AML.M") {
			kind = "mitigations"
		}
		r.URL = strings.NewReplacer("{kind}", kind, "{id}", page).Replace(c.Page)
	}
	return r
}

// unknown says that there is no such name, and which is nearest.
func unknown(what, name string, known []string) error {
	if near := assay.Nearest(name, known); near != "" {
		return fmt.Errorf("there is no %s %q; the nearest is %s", what, name, near)
	}
	return fmt.Errorf("there is no %s %q", what, name)
}
