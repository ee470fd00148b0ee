package system

import "assay"

// inspection notes what is wrong with how training data are looked through.
func (c *checker) inspection(t *Solution, data map[string]*Data) {
	d := t.Inspection
	if d == nil {
		return
	}
	at := t.At + ".inspection"
	c.learnt(t, at, d.Data, data)
	c.distinct(at+".detectors", d.Detectors)
}

// sources notes what is wrong with whom training data may come from.
func (c *checker) sources(t *Solution, data map[string]*Data) {
	if t.Sources == nil {
		return
	}
	at := t.At + ".sources"
	c.learnt(t, at, t.Sources.Data, data)
	unique(c, at+".allowed", "name", t.Sources.Allowed, func(s Source) string { return s.Name })
}

// learnt notes what is wrong with the training data that a part of a solution is about.
func (c *checker) learnt(t *Solution, at, name string, data map[string]*Data) {
	reference(c, at+".data", "dataset", name, data)
	if of := data[name]; of != nil && of.Role != Training {
		c.Fail(at+".data", "%q are %s data: name those whose role is %s", of.Name, of.Role, Training)
	}
	if t.Kind == assay.Organizational {
		c.Fail(at, "is there, and an organizational solution is not tested on data: leave it out, or make the kind technical")
	}
}

// Solution gives a solution by its name, nil where there is none.
func (s *System) Solution(name string) *Solution { return index(s.Solutions, solutionName)[name] }

// Dataset gives data by their name, nil where there are none.
func (s *System) Dataset(name string) *Data { return index(s.Data, dataName)[name] }
