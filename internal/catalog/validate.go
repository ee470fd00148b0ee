package catalog

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"

	"assay"
	"assay/internal/criteria"
)

// validate checks the catalogue as a whole: what one entry says of another, and that
// every default criterion could decide.
func (c *Catalog) validate() error {
	if c.Version == "" {
		return errors.New("the catalogue lacks its version")
	}
	return errors.Join(c.validatePotential(), c.validateAttackers(), c.validateVulnerabilities(), c.validateCells(), c.validateGoals(),
		c.validateMappings("everywhere", c.Everywhere))
}

// filled reports the first of the texts that is empty.
func filled(texts ...string) error {
	for i := 0; i+1 < len(texts); i += 2 {
		if strings.TrimSpace(texts[i+1]) == "" {
			return fmt.Errorf("lacks its %s", texts[i])
		}
	}
	return nil
}

func (c *Catalog) validatePotential() error {
	ranges := c.Potential.Ranges
	if len(c.Potential.Factors) == 0 || len(ranges) == 0 || ranges[0].From != 0 {
		return errors.New("attack potential lacks factors, or ranges from 0 on")
	}
	for i := range ranges[1:] {
		if ranges[i].From >= ranges[i+1].From {
			return fmt.Errorf("the ranges of attack potential do not rise at %s", ranges[i+1].ID)
		}
	}
	for _, f := range c.Potential.Factors {
		if len(f.Levels) == 0 {
			return fmt.Errorf("the factor %s has no levels", f.ID)
		}
		for i := range f.Levels {
			if f.Levels[i].Points < 0 || i > 0 && f.Levels[i].Points < f.Levels[i-1].Points {
				return fmt.Errorf("the points of the factor %s do not rise at %s", f.ID, f.Levels[i].ID)
			}
		}
	}
	return nil
}

func (c *Catalog) validateAttackers() error {
	for i := range c.Attackers {
		if err := c.validateAttacker(&c.Attackers[i]); err != nil {
			return fmt.Errorf("the attacker %s %w", c.Attackers[i].ID, err)
		}
	}
	return nil
}

func (c *Catalog) validateAttacker(a *Attacker) error {
	const maxQueries = 1_000_000_000
	if err := filled("title", a.Title, "text", a.Text); err != nil {
		return err
	}
	points, potential, err := c.Rate(a.Rating)
	if err != nil {
		return fmt.Errorf("has no valid rating: %w", err)
	}
	if potential != a.Potential {
		return fmt.Errorf("is called %q, but its rating comes to %d points, which is %s", a.Potential, points, potential)
	}
	if !slices.Contains(assay.Accesses(), a.Access) {
		return fmt.Errorf("has the access %q: use gradients, scores or labels", a.Access)
	}
	if a.Queries < 1 || a.Queries > maxQueries {
		return fmt.Errorf("has %d queries: use 1 to %d", a.Queries, maxQueries)
	}
	for _, p := range a.Poison {
		if !slices.Contains(assay.Modalities(), p.Modality) || len(p.Families) == 0 || !(p.Share > 0 && p.Share <= 0.5) {
			return fmt.Errorf("plants %q in a share of %v of %q data: use families of poison, a share above 0 and at most 0.5, and tabular, image or text", p.Families, p.Share, p.Modality)
		}
	}
	for _, p := range a.Perturbations {
		if !slices.Contains(assay.Modalities(), p.Modality) || !slices.Contains([]string{"Linf", "L2", "L1", "L0", "words"}, p.Norm) || (p.Norm == "words") != (p.Modality == assay.Text) {
			return fmt.Errorf("changes %q data in the norm %q: use tabular or image with Linf, L2, L1 or L0, and text with words", p.Modality, p.Norm)
		}
		if p.Norm == "L0" && !(p.Eps >= 1) {
			return fmt.Errorf("has the eps %v in L0: it is how many numbers may change, or pixels, at least 1", p.Eps)
		}
		if !(p.Eps > 0) || p.Eps > math.MaxFloat32 || (p.Norm == "Linf" || p.Norm == "words") && p.Eps > 1 {
			return fmt.Errorf("has the eps %v in %s: it is a share, above 0", p.Eps, p.Norm)
		}
	}
	return nil
}

func (c *Catalog) validateVulnerabilities() error {
	for _, v := range c.Vulnerabilities {
		if !slices.Contains(assay.Vulnerabilities(), v.ID) {
			return fmt.Errorf("there is no vulnerability %q", v.ID)
		}
		if err := filled("title", v.Title, "text", v.Text); err != nil {
			return fmt.Errorf("the vulnerability %s %w", v.ID, err)
		}
		if err := c.validateMappings("the vulnerability "+string(v.ID), v.Mappings); err != nil {
			return err
		}
	}
	if len(c.Vulnerabilities) != len(assay.Vulnerabilities()) {
		return fmt.Errorf("the catalogue has %d vulnerabilities of %d", len(c.Vulnerabilities), len(assay.Vulnerabilities()))
	}
	return nil
}

func (c *Catalog) validateCells() error {
	for i := range c.Cells {
		cell := &c.Cells[i]
		if err := filled("title", cell.Title, "text", cell.Text); err != nil {
			return fmt.Errorf("the cell %s %w", cell.Cell, err)
		}
		if len(cell.Decides) == 0 || len(cell.Solutions) == 0 {
			return fmt.Errorf("the cell %s lacks what decides it, or its solutions", cell.Cell)
		}
		if err := c.validateMappings("the cell "+cell.Cell.String(), cell.Mappings); err != nil {
			return err
		}
	}
	for _, cell := range assay.Cells() {
		if c.Cell(cell) == nil || len(c.GoalsOf(cell)) == 0 {
			return fmt.Errorf("the cell %s has no entry or no goal", cell)
		}
	}
	return nil
}

func (c *Catalog) validateGoals() error {
	for i := range c.Goals {
		if err := c.validateGoal(&c.Goals[i]); err != nil {
			return fmt.Errorf("the goal %s %w", c.Goals[i].ID, err)
		}
	}
	return nil
}

func (c *Catalog) validateGoal(g *Goal) error {
	if err := filled("title", g.Title, "statement", g.Statement, "asset", g.Asset, "metric", g.Metric); err != nil {
		return err
	}
	if !slices.Contains(assay.Cells(), g.Cell) {
		return errors.New("lacks its cell")
	}
	if prefix := strings.ReplaceAll(g.Cell.String(), "/", "-"); g.ID != prefix && !strings.HasPrefix(g.ID, prefix+"-") {
		return fmt.Errorf("is of the cell %s, so its id begins with %s", g.Cell, prefix)
	}
	if !slices.ContainsFunc(criteria.Metrics(), func(m criteria.Metric) bool { return m.Name == g.Metric }) {
		return fmt.Errorf("has the metric %q, which there is not", g.Metric)
	}
	if len(g.Evidence) == 0 {
		return errors.New("lacks the kinds of evidence that decide it")
	}
	for _, kind := range g.Evidence {
		if !slices.ContainsFunc(c.Evidence, func(e Evidence) bool { return e.ID == kind }) {
			return fmt.Errorf("needs evidence of the kind %q, which there is not", kind)
		}
	}
	for _, d := range g.Defaults {
		if err := c.validateDefault(&d); err != nil {
			return fmt.Errorf("at the level %s %w", d.Level, err)
		}
	}
	return nil
}

func (c *Catalog) validateDefault(d *Proposal) error {
	if !slices.Contains(assay.Levels(), d.Level) {
		return errors.New("is at no level of risk: use low, medium or high")
	}
	if err := filled("why", d.Why); err != nil {
		return err
	}
	if len(d.Modalities) == 0 {
		return errors.New("names no modalities")
	}
	if err := c.validateReach(d); err != nil {
		return err
	}
	if _, err := d.Criterion.Plan(); err != nil {
		return fmt.Errorf("has a criterion that cannot be used: %w", err)
	}
	return nil
}

// validateReach reports an attacker that there is not, or that cannot change such data.
func (c *Catalog) validateReach(d *Proposal) error {
	if d.Attacker == "" {
		return nil
	}
	a, err := c.Attacker(d.Attacker)
	if err != nil {
		return fmt.Errorf("has no attacker: %w", err)
	}
	for _, m := range d.Modalities {
		if len(a.Within(m)) == 0 {
			return fmt.Errorf("is for %q data, but the attacker %s has no perturbation of such", m, a.ID)
		}
	}
	return nil
}

// forms are what ids look like in the catalogues that the embedded one refers to.
var forms = map[string]*regexp.Regexp{
	"ai-act": regexp.MustCompile(`^(Art\. \d{1,3}(\(\d{1,2}\)(\([a-z]\))?)?|Annex [IVX]{1,4}( \d{1,2}(\([a-z]\))?)?)$`),
	"atlas":  regexp.MustCompile(`^AML\.(T\d{4}(\.\d{3})?|M\d{4})$`),
	"owasp":  regexp.MustCompile(`^[a-z]+$`),
	"nist":   regexp.MustCompile(`^NISTAML\.\d{2,3}$`),
	"etsi":   regexp.MustCompile(`^5\.\d\.\d-\d(\.\d)?$`),
}

func (c *Catalog) validateMappings(where string, m Mappings) error {
	for _, from := range slices.Sorted(maps.Keys(m)) {
		if !slices.ContainsFunc(c.Catalogues, func(k Catalogue) bool { return k.ID == from }) {
			return fmt.Errorf("%s refers to the catalogue %q, which there is not", where, from)
		}
		for _, id := range m[from] {
			if form := forms[from]; id == "" || form != nil && !form.MatchString(id) {
				return fmt.Errorf("%s has the id %q, which is no id of %s", where, id, from)
			}
		}
	}
	return nil
}
