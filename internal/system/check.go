package system

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"assay"
	"assay/internal/criteria"
	"assay/internal/dataset"
	"assay/internal/model"
	"assay/internal/model/remote"
	"assay/internal/strict"
)

// checker looks for what contradicts itself in a description that can be read.
type checker struct {
	*strict.Document
	system   *System
	root     *os.Root
	training map[string]string // the field of the training data in a file
	schemas  map[string]opened
}

// opened is a schema file that was read, or could not be.
type opened struct {
	schema *dataset.Schema
	err    error
}

// check notes what is wrong between fields and with the files. The error is another:
// the folder cannot be opened.
func (s *System) check() error {
	root, err := os.OpenRoot(s.folder)
	if err != nil {
		return fmt.Errorf("the folder of the system's description: %w", err)
	}
	defer root.Close()
	c := &checker{s.document, s, root, map[string]string{}, map[string]opened{}}
	for _, d := range s.Data {
		if d.Role == Training {
			c.training[d.File] = d.At
		}
	}
	c.names()
	endpoints := index(s.Endpoints, endpointName)
	for i := range s.Models {
		c.model(&s.Models[i], endpoints)
	}
	for i := range s.Endpoints {
		c.endpoint(&s.Endpoints[i])
	}
	for i := range s.Data {
		c.data(&s.Data[i])
	}
	models, solutions, data := index(s.Models, modelName), index(s.Solutions, solutionName), index(s.Data, dataName)
	for i := range s.Models {
		c.detector(&s.Models[i], data)
		c.recipe(&s.Models[i], data)
	}
	for i := range s.Solutions {
		c.solution(&s.Solutions[i], models)
		c.inspection(&s.Solutions[i], data)
		c.sources(&s.Solutions[i], data)
	}
	for i := range s.Goals {
		c.goal(&s.Goals[i], solutions, data)
	}
	c.exclusions()
	for i, r := range s.Records {
		c.file(fmt.Sprintf("records[%d].file", i), r.File, false)
	}
	for i, file := range s.Catalogues {
		c.file(fmt.Sprintf("catalogues[%d]", i), file, false)
	}
	return nil
}

func modelName(m Model) string       { return m.Name }
func solutionName(t Solution) string { return t.Name }
func endpointName(e Endpoint) string { return e.Name }
func dataName(d Data) string         { return d.Name }

func index[T any](list []T, name func(T) string) map[string]*T {
	m := make(map[string]*T, len(list))
	for i := range list {
		if _, ok := m[name(list[i])]; !ok {
			m[name(list[i])] = &list[i]
		}
	}
	return m
}

// names notes what is there twice.
func (c *checker) names() {
	unique(c, "risks", "id", c.system.Risks, func(r Risk) string { return r.ID })
	unique(c, "models", "name", c.system.Models, modelName)
	unique(c, "endpoints", "name", c.system.Endpoints, endpointName)
	unique(c, "data", "name", c.system.Data, dataName)
	unique(c, "solutions", "name", c.system.Solutions, solutionName)
	unique(c, "records", "name", c.system.Records, func(r Record) string { return r.Name })
	unique(c, "catalogues", "", c.system.Catalogues, func(file string) string { return file })
	unique(c, "goals", "goal", c.system.Goals, func(g Goal) string {
		if g.Goal == "" || g.Solution == "" {
			return ""
		}
		return g.Goal + " for " + g.Solution + " on " + g.Data
	})
	unique(c, "exclusions", "cell", c.system.Exclusions, func(e Exclusion) string {
		if e.Cell == (assay.Cell{}) {
			return ""
		}
		return e.Cell.String()
	})
}

// unique notes the elements of a list that are called as one before.
func unique[T any](c *checker, list, field string, elements []T, name func(T) string) {
	first := map[string]int{}
	for i, e := range elements {
		path := fmt.Sprintf("%s[%d]", list, i)
		if field != "" {
			path += "." + field
		}
		before, twice := first[name(e)]
		switch {
		case name(e) == "":
		case twice:
			c.Fail(path, "%q is there already, in line %d: give each its own name, or leave one out", name(e), c.Where(fmt.Sprintf("%s[%d]", list, before)).Line)
		default:
			first[name(e)] = i
		}
	}
}

func (c *checker) model(m *Model, endpoints map[string]*Endpoint) {
	c.file(m.At+".file", m.File, false)
	reference(c, m.At+".endpoint", "endpoint", m.Endpoint, endpoints)
	switch {
	case m.File == "" && m.Endpoint == "":
		c.Fail(m.At+".file", "is missing: name the ONNX file of the model, or an endpoint")
	case m.File != "" && m.Endpoint != "":
		c.Fail(m.At+".endpoint", "is there, and file as well: a model is in one place")
	case m.Endpoint != "" && (m.Shape != nil || m.Layout != "" || m.Range != nil || m.Scores != "" || m.Output != "" || m.Classes != nil):
		c.Fail(m.At, "states what the model takes or gives: that is said where its endpoint is described")
	}
	c.shape(m)
	c.tokenizer(m)
	c.signature(m.At, m.Signature)
	if m.Signature != nil && m.Endpoint != "" {
		c.Fail(m.At+".signature", "is there, and the model is behind an endpoint: there is no file to verify")
	}
}

// signature notes what is wrong with who vouches for a file.
func (c *checker) signature(at string, s *Signature) {
	if s == nil {
		return
	}
	at += ".signature"
	c.file(at+".file", s.File, false)
	c.file(at+".key", s.Key, false)
	c.file(at+".roots", s.Roots, false)
	c.file(at+".folder", s.Folder, true)
	switch {
	case s.Key == "" && s.Roots == "":
		c.Fail(at, "says nothing of who is trusted: name a key, or roots")
	case s.Key != "" && s.Roots != "":
		c.Fail(at+".roots", "is there, and key as well: leave one out")
	case s.Identity != "" && s.Roots == "":
		c.Fail(at+".identity", "is that of a certificate, and a key has none: name roots, or leave it out")
	}
}

// endpoint notes what is wrong with the way a model is asked.
func (c *checker) endpoint(e *Endpoint) {
	c.file(e.At+".auth.file", e.Auth.File, false)
	c.file(e.At+".tls.ca", e.TLS.CA, false)
	problems := []error{e.Validate()}
	if all, ok := problems[0].(interface{ Unwrap() []error }); ok {
		problems = all.Unwrap()
	}
	for _, err := range problems {
		var field *remote.FieldError
		switch {
		case errors.As(err, &field):
			c.Fail(e.At+"."+field.Field, "%s", field.Problem)
		case err != nil:
			c.Fail(e.At, "%s", err)
		}
	}
}

// shape notes what contradicts itself in what a model takes and gives.
func (c *checker) shape(m *Model) {
	if r := m.Range; r != nil && r[0] >= r[1] {
		c.Fail(m.At+".range[1]", "is %v, and must be above the lowest value, %v", r[1], r[0])
	}
	c.distinct(m.At+".classes", m.Classes)
	if len(m.Classes) == 1 {
		c.Fail(m.At+".classes", "is one class, and a classifier has two or more")
	}
	values := int64(1)
	for _, size := range m.Shape {
		if size > model.MaxValues/max(values, 1) {
			c.Fail(m.At+".shape", "is more than %d values", model.MaxValues)
			return
		}
		values *= size
	}
	image := m.Layout == model.NCHW || m.Layout == model.NHWC
	switch {
	case image && len(m.Shape) > 0 && len(m.Shape) != 3:
		c.Fail(m.At+".layout", "is %s, which is that of shapes of 3 sizes, and the shape has %d", m.Layout, len(m.Shape))
	case image && c.system.About.Modality == assay.Tabular:
		c.Fail(m.At+".layout", "is %s, which is that of images, and the system's modality is tabular", m.Layout)
	case m.Layout == model.Tabular && len(m.Shape) > 1:
		c.Fail(m.At+".layout", "is tabular, which is that of shapes of one size, and the shape has %d", len(m.Shape))
	}
}

func (c *checker) distinct(path string, names []string) {
	seen := make(map[string]bool, len(names))
	for i, name := range names {
		if seen[name] {
			c.Fail(fmt.Sprintf("%s[%d]", path, i), "%q is there twice: leave one out", name)
		}
		seen[name] = true
	}
}

func (c *checker) data(d *Data) {
	c.file(d.At+".file", d.File, true)
	c.file(d.At+".labels", d.Labels, false)
	if d.Label != "" && d.Labels != "" {
		c.Fail(d.At+".labels", "is a file of labels, and label names a column with them: leave one out")
	}
	if other, ok := c.training[d.File]; ok && d.Role == Test && d.File != "" {
		c.Fail(d.At+".file", "is training data as well, in line %d: test on data that no model was made from", c.Where(other).Line)
	}
	c.texts(d)
	c.schema(d)
	c.signature(d.At, d.Signature)
	if s := d.Schema.Own; s != nil && (s.Complete || len(s.Shape) > 0) {
		c.relations(d)
	}
}

// relations notes relations of features that there are not.
func (c *checker) relations(d *Data) {
	f, none := featuresOf(d.Schema.Own)
	for i, r := range d.Relations {
		if c.Full() {
			return
		}
		err := none
		if err == nil {
			_, _, err = r.on(f)
		}
		if err != nil {
			c.Fail(fmt.Sprintf("%s.relations[%d]", d.At, i), "%s", err)
		}
	}
}

// schema reads a schema that is in a file of its own, and checks it.
func (c *checker) schema(d *Data) {
	path := d.At + ".schema"
	var err error
	switch {
	case d.Schema.File != "":
		if !c.file(path, d.Schema.File, false) {
			return
		}
		d.Schema.Own, err = c.openSchema(d.Schema.File)
	case d.Schema.Own != nil:
		for i, f := range d.Schema.Own.Features { // by themselves first: that tells the line
			c.bounds(fmt.Sprintf("%s.features[%d]", path, i), f)
			if err := (&dataset.Schema{Features: []dataset.Feature{f}}).Validate(); err != nil {
				c.Fail(fmt.Sprintf("%s.features[%d]", path, i), "%s", err)
			}
		}
		err = d.Schema.Own.Validate()
	default:
		return
	}
	if err != nil {
		d.Schema.Own = nil
		c.Fail(path, "%s", err)
		return
	}
	if name := d.Schema.Own.Label.Name; d.Label != "" && name != "" && name != d.Label {
		c.Fail(d.At+".label", "is %q, and the schema has the label %q: leave one out", d.Label, name)
	}
}

// openSchema reads a schema file once, however often it is named.
func (c *checker) openSchema(file string) (*dataset.Schema, error) {
	known, ok := c.schemas[file]
	if !ok {
		known.schema, known.err = dataset.OpenSchema(c.system.Path(file))
		c.schemas[file] = known
	}
	return known.schema, known.err
}

// bounds notes limits of a feature that contradict one another.
func (c *checker) bounds(path string, f dataset.Feature) {
	if f.Min != nil && f.Max != nil && *f.Min > *f.Max {
		c.Fail(path+".max", "is %v, and must be at least the minimum, %v", *f.Max, *f.Min)
	}
	if o := f.Observed; o != nil && o.Min > o.Max {
		c.Fail(path+".observed.max", "is %v, and must be at least the minimum, %v", o.Max, o.Min)
	}
}

func (c *checker) solution(t *Solution, models map[string]*Model) {
	seen := map[assay.Cell]bool{}
	for i, cell := range t.Cells {
		if seen[cell] && cell != (assay.Cell{}) {
			c.Fail(fmt.Sprintf("%s.cells[%d]", t.At, i), "%s is there twice: leave one out", cell)
		}
		seen[cell] = true
	}
	reference(c, t.At+".model", "model", t.Model, models)
	reference(c, t.At+".without", "model", t.Without, models)
	switch {
	case t.Kind == assay.Organizational && t.Model != "":
		c.Fail(t.At+".model", "is the model with the solution, and an organizational solution has none: leave it out, or make the kind technical")
	case t.Without != "" && t.Model == "":
		c.Fail(t.At+".without", "is the model without the solution, and model, the one with it, is missing")
	case t.Without != "" && t.Without == t.Model:
		c.Fail(t.At+".without", "is the model with the solution as well: name another, or leave it out")
	}
}

// reference notes a name of something that is not there.
func reference[T any](c *checker, path, what, name string, known map[string]*T) {
	if _, ok := known[name]; ok || name == "" {
		return
	}
	switch {
	case len(known) == 0:
		c.Fail(path, "%q is no %s of this file, which has none", name, what)
	case c.Full():
		c.Fail(path, "%q is no %s of this file", name, what) // it will not be told, so its names are not sorted
	default:
		c.Unknown(path, name, "is no "+what+" of this file", slices.Sorted(maps.Keys(known)))
	}
}

func (c *checker) goal(g *Goal, solutions map[string]*Solution, data map[string]*Data) {
	reference(c, g.At+".solution", "solution", g.Solution, solutions)
	reference(c, g.At+".data", "dataset", g.Data, data)
	if t := solutions[g.Solution]; t != nil {
		switch {
		case t.Kind == assay.Technical && t.Model == "":
			c.Fail(g.At+".solution", "%q names no model, so there is nothing to test: give the solution its model", t.Name)
		case t.Kind == assay.Technical && g.Data == "":
			c.Fail(g.At+".data", "is missing: name the data that the solution is tested on")
		case t.Kind == assay.Organizational && g.Attacker != nil:
			c.Fail(g.At+".attacker", "is there, and an organizational solution is not tested by attacks: leave it out")
		}
	}
	if d := data[g.Data]; d != nil && d.Role == Training {
		c.Fail(g.At+".data", "%q is what models are trained on: test on data that no model was made from", d.Name)
	}
	if (g.Attacker != nil || g.Criterion != nil) && g.Reason == "" {
		c.Fail(g.At+".reason", "is missing: say why the catalogue's attacker or criterion is replaced")
	}
	if a := g.Attacker; a != nil {
		c.words(g)
		switch {
		case a.Eps == nil && (a.Norm != nil || a.Unit != nil):
			c.Fail(g.At+".attacker", "changes the norm or unit that eps is in: state eps as well")
		case a.Eps != nil && *a.Eps < 1 && a.Norm != nil && *a.Norm == L0:
			c.Fail(g.At+".attacker.eps", "is %v, and in L0 it is how many features may change, or pixels: give at least 1", *a.Eps)
		case a.Eps != nil && *a.Eps > 1 && a.Norm != nil && *a.Norm == Linf && a.Unit != nil && *a.Unit == Share:
			c.Fail(g.At+".attacker.eps", "is %v, and a share of a feature's range is at most 1", *a.Eps)
		}
	}
	if g.Criterion == nil {
		return
	}
	unique(c, g.At+".criterion.costs", "metric", g.Criterion.Costs, func(cost Cost) string { return cost.Metric })
	c.distinct(g.At+".criterion.checks", g.Criterion.Checks)
	if s := g.Criterion.Sampling; s != nil && s.Rule != nil && *s.Rule == criteria.Census && (s.N != nil || s.Power != nil || s.Assumed != nil) {
		c.Fail(g.At+".criterion.sampling", "is a census, which takes every unit there is: leave n, power and assumed out")
	}
}

// exclusions notes cells that are left out and covered as well.
func (c *checker) exclusions() {
	covered := map[assay.Cell]string{}
	for _, t := range c.system.Solutions {
		for _, cell := range t.Cells {
			covered[cell] = t.Name
		}
	}
	for i, e := range c.system.Exclusions {
		if name, ok := covered[e.Cell]; ok && e.Cell != (assay.Cell{}) {
			c.Fail(fmt.Sprintf("exclusions[%d].cell", i), "%s is left out, and the solution %s covers it: it is one or the other", e.Cell, name)
		}
	}
}
