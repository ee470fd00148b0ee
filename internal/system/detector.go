package system

// Graphs are the ONNX files that the model is made of: its own, and that of its detector. An endpoint has none.
func (m *Model) Graphs() (files []string) {
	if m.File != "" {
		files = append(files, m.File)
	}
	if m.Detector != nil {
		files = append(files, m.Detector.File)
	}
	return files
}

// detector notes what is wrong with a detector that stands beside a model.
func (c *checker) detector(m *Model, data map[string]*Data) {
	d := m.Detector
	if d == nil {
		return
	}
	at := m.At + ".detector"
	c.file(at+".file", d.File, false)
	reference(c, at+".calibration", "dataset", d.Calibration, data)
	switch {
	case m.Endpoint != "":
		c.Fail(at, "is there, and the model is behind an endpoint: a detector can be joined to a file alone")
	case m.Shape != nil || m.Layout != "" || m.Scores != "" || m.Output != "" || m.Classes != nil:
		c.Fail(at, "is there, and the model's shape, layout, scores, output or classes are stated: a detector is joined to a model whose file tells them")
	case d.Threshold == nil && (d.FPR == nil || d.Calibration == ""):
		c.Fail(at, "says nothing of when it refuses: give a threshold, or fpr and the data for its calibration")
	case d.Threshold != nil && (d.FPR != nil || d.Calibration != ""):
		c.Fail(at+".threshold", "is there, and so is what sets one: leave fpr and calibration out, or the threshold")
	}
	if of := data[d.Calibration]; of != nil && of.Role != Validation && of.Role != Reference {
		c.Fail(at+".calibration", "%q are %s data: calibrate on data whose role is %s or %s", of.Name, of.Role, Validation, Reference)
	}
}
