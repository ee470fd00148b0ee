package robustness

import (
	"context"
	"fmt"

	"assay/internal/assess"
	"assay/internal/dataset"
	"assay/internal/method/target"
	"assay/internal/model/ort"
	"assay/internal/solution/refusal"
	"assay/internal/solution/rewrite"
	"assay/internal/system"
	"assay/onnx"
)

// What a detector's threshold is set by.
const (
	detectorConfidence = 0.95 // that no more of the inputs are refused than the description allows
	steepness          = 256  // records, at most, whose scores say how steep a refusal with a given threshold is
)

// guard joins a model's detector to it, so that both are attacked as one graph, the refusal as its last class.
func (t *Tester) guard(ctx context.Context, p *prepared, m *system.Model, graph *onnx.Model, schema *dataset.Schema, test *assess.Test) (*onnx.Model, error) {
	at, run := m.At+".detector", ort.Options{Threads: 1, Library: t.library}
	file, err := onnx.Open(t.system.Path(m.Detector.File))
	if err != nil {
		return nil, t.system.Mistake(at+".file", "%v", err)
	}
	scorer, err := rewrite.OpenScorer(file, m.Detector.Output)
	if err != nil {
		return nil, t.system.Mistake(at, "%s: %v", m.Detector.File, err)
	}
	c, err := rewrite.Open(ctx, graph, run)
	if err != nil {
		return nil, t.system.Mistake(at, "no detector can be joined to %s: %v", m.File, err)
	}
	rows, err := t.unattacked(ctx, m, c, schema, test)
	if err != nil {
		return nil, err
	}
	scores, err := refusal.Scores(ctx, c, scorer, rows, run)
	if err != nil {
		return nil, t.system.Mistake(at, "%s: %v", m.Detector.File, err)
	}
	threshold, err := thresholdOf(m.Detector, scores)
	if err != nil {
		return nil, t.system.Mistake(at, "%s: %v", m.Detector.File, err)
	}
	whole, err := refusal.Join(c, scorer, threshold)
	if err != nil {
		return nil, t.system.Mistake(at, "%s: %v", m.Detector.File, err)
	}
	p.remarks = append(p.remarks, fmt.Sprintf("the detector %s is attacked with the model: it refuses what it scores above %.4g, as %d of %d records that nobody attacked",
		m.Detector.File, threshold.Value, threshold.Refused, threshold.N))
	return whole, nil
}

func thresholdOf(d *system.Detector, scores []float32) (*refusal.Threshold, error) {
	if d.Threshold != nil {
		return refusal.At(*d.Threshold, scores)
	}
	return refusal.Rule{FPR: *d.FPR, Confidence: detectorConfidence}.Calibrate(scores)
}

// unattacked gives the rows on which a detector's scores are looked at: all of the data that a threshold is set on, and where
// one is given, some of those that are tested.
func (t *Tester) unattacked(ctx context.Context, m *system.Model, c *rewrite.Classifier, schema *dataset.Schema, test *assess.Test) ([]float32, error) {
	name := test.Data
	if m.Detector.Calibration != "" {
		name = m.Detector.Calibration
	}
	d := t.find(name)
	if d == nil {
		return nil, fmt.Errorf("the description has no data %q", name)
	}
	read, err := t.read(ctx, d, schema)
	if err != nil {
		return nil, err
	}
	of, err := target.NewRows(read.Schema, c.Description)
	if err != nil {
		return nil, t.system.Mistake(m.At, "the data %s do not fit the model %s: %v", d.Name, m.Name, err)
	}
	n := read.Len()
	order := test.Order(n)
	if m.Detector.Threshold != nil {
		order = order[:min(n, steepness)]
	}
	var rows []float32
	for _, i := range order {
		rows = append(rows, of.Row(read.Record(i))...)
	}
	return rows, nil
}
