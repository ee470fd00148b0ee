package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"assay"
	"assay/internal/catalog"
	"assay/internal/criteria"
)

// catalogFlags say which catalogue to read, and how to print.
type catalogFlags struct {
	files  []string
	format string
}

func (f *catalogFlags) add(c *cobra.Command) {
	c.Flags().StringArrayVar(&f.files, "catalogue", nil, "a file of your own that adds to the catalogue or overrides it; may be given again")
	c.Flags().StringVar(&f.format, "format", "text", "text or json")
}

func (f *catalogFlags) open() (*catalog.Catalog, error) {
	if err := checkFormat(f.format); err != nil {
		return nil, err
	}
	c, err := catalog.Open(f.files...)
	return c, assay.WithCode(assay.CodeInput, err)
}

func catalogCommand(u *ui) *cobra.Command {
	var f catalogFlags
	c := &cobra.Command{
		Use: "catalog [CELL]", Short: "Show the 25 cells and their goals, or one cell",
		Long: "Show the 25 cells, which are a vulnerability and a function each, with their goals.\n" +
			"A CELL, such as evasion/prevent, is shown with what decides it.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := f.open()
			if err != nil {
				return err
			}
			if len(args) == 1 {
				cell, err := assay.ParseCell(args[0])
				if err != nil {
					return assay.WithCode(assay.CodeUsage, err)
				}
				return showCell(u, c, c.Cell(cell), f.format)
			}
			if f.format == "json" {
				return u.json(c)
			}
			showCatalog(u, c)
			return nil
		},
	}
	f.add(c)
	return c
}

func explainCommand(u *ui) *cobra.Command {
	var f catalogFlags
	c := &cobra.Command{
		Use: "explain GOAL", Short: "Explain a goal: what must hold, what decides it, the criteria proposed",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			c, err := f.open()
			if err != nil {
				return err
			}
			g, err := c.Goal(args[0])
			if err != nil {
				return assay.WithCode(assay.CodeUsage, fmt.Errorf("%w; assay catalog lists them all", err))
			}
			return explain(u, c, g, f.format)
		},
	}
	f.add(c)
	return c
}

// showCatalog prints the cells by vulnerability.
func showCatalog(u *ui, c *catalog.Catalog) {
	p := page{u}
	p.line("Catalogue %s", c.Version)
	for _, v := range c.Vulnerabilities {
		p.line("")
		p.line("%s: %s", v.ID, v.Title)
		for _, f := range assay.Functions() {
			cell := assay.Cell{Vulnerability: v.ID, Function: f}
			for _, g := range c.GoalsOf(cell) {
				mark := ""
				if len(g.Defaults) > 0 {
					mark = " *"
				}
				p.line("  %-8s  %-26s %s%s", f, g.ID, g.Title, mark)
			}
		}
	}
	p.line("")
	p.text("", "* tested by this version, with the criteria that assay explain GOAL shows. The other goals need evidence that is brought.")
	p.overrides(c)
}

func showCell(u *ui, c *catalog.Catalog, cell *catalog.Cell, format string) error {
	goals := c.GoalsOf(cell.Cell)
	if format == "json" {
		return u.json(struct {
			*catalog.Cell
			Goals []*catalog.Goal `json:"goals"`
		}{cell, goals})
	}
	p := page{u}
	p.line("%s: %s", cell.Cell, cell.Title)
	p.text("", cell.Text)
	p.list("Known solutions", cell.Solutions)
	p.list("What decides whether one is adequate", cell.Decides)
	p.list("Sources", cell.Sources)
	p.list("Sources named from memory: check them before you cite them", cell.Unchecked)
	var lines []string
	for _, g := range goals {
		lines = append(lines, g.ID+": "+g.Title)
	}
	p.list("Goals", lines)
	p.overrides(c)
	return nil
}

// proposal is a default criterion with what its plan comes to.
type proposal struct {
	catalog.Proposal
	Plan criteria.Plan `json:"plan"`
}

func explain(u *ui, c *catalog.Catalog, g *catalog.Goal, format string) error {
	cell := c.Cell(g.Cell)
	var proposals []proposal
	for _, d := range g.Defaults {
		plan, err := d.Criterion.Plan()
		if err != nil {
			return err
		}
		proposals = append(proposals, proposal{d, plan})
	}
	if format == "json" {
		return u.json(struct {
			*catalog.Goal
			Decides  []string     `json:"decides"`
			IDs      []catalog.ID `json:"ids"`
			Defaults []proposal   `json:"defaults,omitempty"`
		}{g, cell.Decides, c.IDs(g), proposals})
	}
	p := page{u}
	p.line("%s: %s", g.ID, g.Title)
	p.section("What must hold", g.Statement)
	p.section("What is at stake", g.Asset)
	p.list("What decides it", cell.Decides)
	var kinds []string
	for _, e := range c.Evidence {
		if slices.Contains(g.Evidence, e.ID) {
			kinds = append(kinds, e.Title+": "+e.Text)
		}
	}
	p.list("The evidence that it takes", kinds)
	if len(proposals) == 0 {
		p.section("Criteria", "None is proposed: no method of this version can test the goal by itself.")
	}
	for _, d := range proposals {
		if err := p.proposal(c, g.Cell.Vulnerability, d); err != nil {
			return err
		}
	}
	p.ids(c.IDs(g))
	p.overrides(c)
	return nil
}

// page prints text for people, in lines that are not too long to read.
type page struct{ u *ui }

const pageWidth = 88

func (p page) line(format string, args ...any) {
	fmt.Fprintf(p.u.streams.Out, format+"\n", args...)
}

// text prints a paragraph: the first line after a lead, the others under it.
func (p page) text(lead, text string) {
	indent := strings.Repeat(" ", len([]rune(lead)))
	line, start := lead, true
	for _, word := range strings.Fields(text) {
		if !start && len([]rune(line))+1+len([]rune(word)) > pageWidth {
			p.line("%s", line)
			line, start = indent, true
		}
		if !start {
			line += " "
		}
		line, start = line+word, false
	}
	p.line("%s", line)
}

func (p page) section(title, text string) {
	p.line("\n%s", title)
	p.text("  ", text)
}

func (p page) list(title string, items []string) {
	if len(items) == 0 {
		return
	}
	p.line("\n%s", title)
	for _, item := range items {
		p.text("  - ", item)
	}
}

// proposal prints a criterion that the catalogue proposes.
func (p page) proposal(c *catalog.Catalog, about assay.Vulnerability, d proposal) error {
	var modalities []string
	for _, m := range d.Modalities {
		modalities = append(modalities, string(m))
	}
	p.line("\nProposed at %s risk, for %s data", d.Level, strings.Join(modalities, ", "))
	p.text("  criterion  ", d.Criterion.String())
	p.text("  plan       ", d.Plan.String())
	for i, cost := range d.Criterion.Costs {
		p.text("  cost       ", fmt.Sprintf("%s, which takes %d units at least to show", cost, d.Plan.Costs[i].Least))
	}
	p.text("  checks     ", strings.Join(d.Criterion.Checks, ", "))
	text, err := reach(c, about, d)
	if err != nil {
		return err
	}
	p.text("  attacker   ", text)
	p.text("  why        ", d.Why)
	return nil
}

// reach says what the attacker of a proposal can do.
func reach(c *catalog.Catalog, about assay.Vulnerability, d proposal) (string, error) {
	if d.Attacker == "" {
		return "whoever can change files before they are loaded.", nil
	}
	a, err := c.Attacker(d.Attacker)
	if err != nil {
		return "", err
	}
	if about == assay.DataPoisoning {
		var plants []string
		for _, m := range d.Modalities {
			if p := a.Plants(m); p != nil {
				plants = append(plants, fmt.Sprintf("%s in %g %% of the records (%s)", strings.Join(p.Families, " or "), 100*p.Share, m))
			}
		}
		return fmt.Sprintf("%s: plants %s.", a.ID, strings.Join(plants, ", ")), nil
	}
	var within []string
	for _, m := range d.Modalities {
		for _, w := range a.Within(m) {
			of := "the range"
			if m == assay.Text {
				of = "the words"
			}
			within = append(within, fmt.Sprintf("%s eps %g of %s (%s)", w.Norm, w.Eps, of, m))
		}
	}
	return fmt.Sprintf("%s: %s Sees %s, asks up to %d times a unit, changes it within %s.", a.ID, a.Text, a.Access, a.Queries, strings.Join(within, ", ")), nil
}

// ids prints ids by catalogue.
func (p page) ids(ids []catalog.ID) {
	p.line("\nIn other catalogues")
	for i := 0; i < len(ids); {
		from := ids[i]
		var names []string
		for ; i < len(ids) && ids[i].Catalogue == from.Catalogue; i++ {
			names = append(names, ids[i].ID)
		}
		p.text("  - ", fmt.Sprintf("%s, %s: %s", from.Catalogue, from.Version, strings.Join(names, ", ")))
	}
}

// overrides prints what the user's files replaced.
func (p page) overrides(c *catalog.Catalog) {
	var lines []string
	for _, o := range c.Overrides {
		from := ""
		if o.From != "" {
			from = "from " + o.From + " "
		}
		lines = append(lines, fmt.Sprintf("%s: %sto %s (%s). %s", o.What, from, o.To, o.Where, o.Reason))
	}
	p.list("Overridden by files of your own", lines)
}
