package rewrite

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"assay/internal/model"
	"assay/onnx"
	"assay/onnx/autodiff"
	"assay/onnx/infer"
	"assay/onnx/upgrade"
)

// Scorer is a model in a file of its own that gives each row one number, such as a detector that was made elsewhere. A
// [Builder] can append it to a classifier, of whose input it takes the same rows.
type Scorer struct {
	part Classifier // of which the graph alone is used
	rank int        // of the output
}

// OpenScorer takes a model's output of the given name for a score, of which each row has one number; the empty name is that of
// its only output. It runs nothing.
func OpenScorer(m *onnx.Model, output string) (*Scorer, error) {
	d, err := model.ReadDefence(m)
	if err != nil {
		return nil, err
	}
	if d.Smoothing != nil || len(d.Random) > 0 {
		return nil, errors.New("it answers at random, and what it refuses would depend on the draw: give a detector that does not")
	}
	m = m.Clone()
	if err := m.Inline(); err != nil {
		return nil, err
	}
	if m, err = upgrade.To(m, autodiff.Opset); err != nil {
		return nil, err
	}
	s := &Scorer{part: Classifier{source: m, defence: d}}
	if err := s.takeInput(); err != nil {
		return nil, err
	}
	if s.part.types, err = infer.Shapes(m); err != nil {
		return nil, err
	}
	return s, s.takeOutput(output)
}

func (s *Scorer) takeInput() error {
	free := s.part.source.Graph.FreeInputs()
	if len(free) != 1 || !free[0].Type.Elem.IsFloat() {
		return fmt.Errorf("it has %d inputs, and a detector takes one, the rows of the model as floating-point numbers", len(free))
	}
	s.part.input = free[0]
	return nil
}

func (s *Scorer) takeOutput(name string) error {
	outputs := s.part.source.Graph.Outputs
	i := slices.IndexFunc(outputs, func(v onnx.Value) bool { return v.Name == name })
	if name == "" && len(outputs) == 1 {
		i = 0
	}
	if i < 0 {
		var names []string
		for _, v := range outputs {
			names = append(names, v.Name)
		}
		return fmt.Errorf("it has no output %q: name one of %s", name, strings.Join(names, ", "))
	}
	s.part.value = outputs[i].Name
	t := s.part.types.Of(s.part.value)
	s.rank = len(t.Shape)
	sizes, _ := t.Shape.Sizes()
	if t.Kind != onnx.KindTensor || !t.Elem.IsFloat() || s.rank == 0 || slices.ContainsFunc(sizes[1:], func(size int64) bool { return size != 1 }) {
		return fmt.Errorf("its output %q is %s, and a score is one floating-point number for each row", s.part.value, t)
	}
	return nil
}

// Append runs the classifier and the scorer on the builder's input, and gives the logits of the one, [N, classes], and the score of the
// other, [N]. Rows that the two shape otherwise are brought to the scorer's shape.
func (s *Scorer) Append(b *Builder, c *Classifier) (logits, score string, err error) {
	shape := s.part.input.Type.Shape
	if len(shape) == 0 {
		return "", "", errors.New("the detector does not tell the shape of its input: export it with one")
	}
	if batch := shape[0].Size; shape[0].Known() && batch != int64(c.Batch) {
		return "", "", fmt.Errorf("the detector takes batches of %d rows alone: export it with a batch of any size, or with that of the model", batch)
	}
	row, known := shape[1:].Sizes()
	if size, ok := onnx.Count(row); !known || !ok || size != int64(c.RowSize()) {
		return "", "", fmt.Errorf("the detector takes %s, and a row of the model has %d numbers (shape %v)", shape, c.RowSize(), c.Shape)
	}
	logits, _ = b.Call(c, b.Input)
	x := b.Input
	if !slices.Equal(row, c.Shape) {
		to := []int64{-1}
		x = b.Op("Reshape", nil, x, b.Ints(append(to, row...)...))
	}
	score, _ = b.call(&s.part, x, nil)
	if s.rank != 1 {
		score = b.Op("Reshape", nil, score, b.Ints(-1))
	}
	return logits, score, nil
}
