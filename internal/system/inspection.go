package system

import "assay"

// inspection notes what is wrong with how training data are looked through.
func (c *checker) inspection(t *Solution, data map[string]*Data) {
	d := t.Inspection
	if d == nil {
		return
	}
	at := t.At + ".inspection"
	reference(c, at+".data", "dataset", d.Data, data)
	if of := data[d.Data]; of != nil && of.Role != Training {
		c.Fail(at+".data", "%q are %s data: inspect those whose role is %s", of.Name, of.Role, Training)
	}
	if t.Kind == assay.Organizational {
		c.Fail(at, "is there, and an organizational solution has no detectors: leave it out, or make the kind technical")
	}
	c.distinct(at+".detectors", d.Detectors)
}

// Solution gives a solution by its name, nil where there is none.
func (s *System) Solution(name string) *Solution { return index(s.Solutions, solutionName)[name] }

// Dataset gives data by their name, nil where there are none.
func (s *System) Dataset(name string) *Data { return index(s.Data, dataName)[name] }
