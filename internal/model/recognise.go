package model

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"assay/onnx"
)

// Override states what a model does not tell, or tells wrongly. Zero fields leave
// it to recognition.
type Override struct {
	Shape   []int64 // of one row
	Layout  Layout
	Range   *Range
	Classes []string // names, in the order of the scores
	Output  Output   // what the scores mean
	Scores  string   // the output that holds them
}

// Recognised is an ONNX classifier and the way to run it.
type Recognised struct {
	Description // Classes is empty and Output unknown where only a run can tell

	Model   *onnx.Model // with the recognised output alone, a tensor
	Inputs  []Input     // which take a row's values in turn; in the model they come first
	Random  []Source    // inputs that take random numbers, in the model's order, after the others
	Defence *Defence    // what the metadata say
	Columns int         // of the scores: 1 for the probability of the second of two classes, 0 if unknown
	Element onnx.DataType

	named bool // the classes were stated
	drawn bool // nodes were made inputs, so that the graph is not that of the file
}

// Rewritten reports whether Model computes otherwise than the model that was recognised: its random numbers come from inputs.
func (r *Recognised) Rewritten() bool { return r.drawn }

// Input is one input of a model.
type Input struct {
	Name    string
	Element onnx.DataType
	Shape   []int64 // of one row
	Size    int     // values of a row
}

// Recognise finds out what a classifier takes and gives, as exported by PyTorch
// (channels first; logits or softmax), Keras (channels last, also behind a
// Transpose) and skl2onnx (label and probabilities, ZipMap, one input per column).
// It does not change m.
func Recognise(m *onnx.Model, o Override) (*Recognised, error) {
	r := &Recognised{Model: m.Clone()}
	if err := r.Model.Sort(); err != nil {
		return nil, err
	}
	defence, err := ReadDefence(m)
	if err != nil {
		return nil, err
	}
	r.Defence, r.Reject = defence, defence.Reject
	if err := r.sources(defence.Random); err != nil {
		return nil, err
	}
	if err := r.inputs(o); err != nil {
		return nil, err
	}
	g := newGraphIndex(r.Model.Graph)
	r.Layout = g.layout(r.Inputs, r.Shape)
	if o.Layout != "" {
		r.Layout = o.Layout
	}
	r.Range = g.inputRange(r.Inputs, r.Layout)
	if o.Range != nil {
		r.Range = *o.Range
	}
	out, err := g.findOutput(o.Scores)
	if err != nil {
		return nil, err
	}
	if err := r.take(g, out, o); err != nil {
		return nil, err
	}
	prune(r.Model.Graph)
	if r.Output == Labels && len(r.Classes) == 0 {
		return nil, fmt.Errorf("output %q gives labels, but the model does not tell which there are: state the classes", out.value.Name)
	}
	return r, nil
}

// take makes the output the model's only one, and reads off it what it means.
func (r *Recognised) take(g *graphIndex, out scoreOutput, o Override) error {
	r.Model.Graph.Outputs = []onnx.Value{out.value}
	r.Element = out.value.Type.Elem
	r.Output = out.kind
	if r.Output == UnknownOutput {
		r.Output = g.meaning(out.value.Name)
	}
	if o.Output != "" {
		r.Output = o.Output
	}
	r.Classes, r.named = slices.Clone(o.Classes), len(o.Classes) > 0
	if len(r.Classes) == 0 {
		r.Classes = out.classes
	}
	if len(r.Classes) == 0 {
		r.Classes = g.classNames()
	}
	if r.Output == Labels {
		if r.Reject {
			return fmt.Errorf("output %q gives labels, and the metadata say that the last class of its scores is a refusal: give an output of scores", out.value.Name)
		}
		return nil
	}
	if s := out.value.Type.Shape; len(s) > 0 && s[len(s)-1].Known() {
		return r.SetColumns(int(s[len(s)-1].Size))
	}
	return nil
}

// SetColumns completes the description by the number of columns of the scores,
// where it was learnt by running the model. One column scores the second of two
// classes. Names that were found in the model and do not fit it are dropped.
func (r *Recognised) SetColumns(n int) error {
	if n < 1 || n > MaxClasses {
		return fmt.Errorf("its output has %d values for a row, which are not scores of 2 to %d classes", n, MaxClasses)
	}
	r.Columns = n
	classes := max(n, 2)
	if r.Reject && n < 3 {
		return fmt.Errorf("its output has %d values for a row: with a last class that is a refusal it takes at least 3", n)
	}
	if r.Reject && len(r.Classes) == classes-1 {
		r.Classes = append(slices.Clone(r.Classes), Refused)
	}
	switch {
	case len(r.Classes) == classes:
		return nil
	case r.named:
		return fmt.Errorf("there are %d names of classes (%q), and the model has scores for %d", len(r.Classes), r.Classes, classes)
	}
	r.Classes = make([]string, classes)
	for i := range r.Classes {
		r.Classes[i] = strconv.Itoa(i)
	}
	if r.Reject {
		r.Classes[classes-1] = Refused
	}
	return nil
}

// Refused is the name of a refusal among the classes, where the model has none for it.
const Refused = "refused"

// inputs reads what the model takes.
func (r *Recognised) inputs(o Override) error {
	free := slices.DeleteFunc(r.Model.Graph.FreeInputs(), func(v onnx.Value) bool { return r.source(v.Name) })
	if len(free) == 0 {
		return errors.New("the model has no inputs, so it is no classifier")
	}
	for _, v := range free {
		in, batch, err := inputOf(v, o, len(free))
		if err != nil {
			return fmt.Errorf("input %q %w", v.Name, err)
		}
		if batch > 0 {
			if r.Batch > 0 && r.Batch != batch {
				return fmt.Errorf("the inputs have batches of %d and %d rows", r.Batch, batch)
			}
			r.Batch = batch
		}
		r.Inputs = append(r.Inputs, in)
	}
	r.Shape = r.Inputs[0].Shape
	if len(r.Inputs) == 1 {
		return nil
	}
	n := int64(0)
	for _, in := range r.Inputs {
		if n += int64(in.Size); n > MaxValues/int64(max(r.Batch, 1)) {
			return fmt.Errorf("the %d inputs take more than %d values at once", len(r.Inputs), MaxValues)
		}
	}
	r.Shape = []int64{n}
	return nil
}

func inputOf(v onnx.Value, o Override, inputs int) (Input, int, error) {
	t := v.Type
	if t.Kind != onnx.KindTensor || !takesNumbers(t.Elem) {
		return Input{}, 0, fmt.Errorf("is %s: only tensors of numbers can be rows", t)
	}
	sizes, _ := t.Shape.Sizes()
	if len(sizes) == 0 && o.Shape == nil {
		return Input{}, 0, errors.New("has no stated shape with a batch: state the shape of a row")
	}
	batch := 0
	if len(sizes) > 0 {
		batch = int(max(sizes[0], 0))
		sizes = sizes[1:]
	}
	if inputs == 1 && o.Shape != nil {
		sizes = slices.Clone(o.Shape)
	}
	size, ok := onnx.Count(sizes)
	if !ok || size == 0 {
		return Input{}, 0, fmt.Errorf("is %s, which does not tell the size of a row: state the shape of a row", t)
	}
	if size > MaxValues/int64(max(batch, 1)) {
		return Input{}, 0, fmt.Errorf("is %s, which is more than %d values at once", t, MaxValues)
	}
	return Input{Name: v.Name, Element: t.Elem, Shape: sizes, Size: int(size)}, batch, nil
}

// Limits on what a model's word is taken for.
const (
	MaxValues  = 1 << 28 // input values of one run: some 300 images of 512 by 512 pixels in colour
	MaxClasses = 1 << 18
)

func takesNumbers(t onnx.DataType) bool {
	switch t {
	case onnx.Float32, onnx.Float64, onnx.Float16, onnx.BFloat16, onnx.Int64, onnx.Int32, onnx.Int16, onnx.Int8, onnx.Uint8, onnx.Uint16, onnx.Bool:
		return true
	}
	return false
}

// scoreOutput is an output that tells the class.
type scoreOutput struct {
	value   onnx.Value
	kind    Output // Labels, or unknown
	classes []string
}

// findOutput chooses the output with the scores: the one named, else probabilities
// from which a ZipMap makes maps, else the only tensor of floats with a column per
// class, else labels.
func (g *graphIndex) findOutput(name string) (scoreOutput, error) {
	var scores, labels []scoreOutput
	for _, v := range g.graph.Outputs {
		if name != "" && v.Name != name {
			continue
		}
		if zip := g.producer(v.Name); zip != nil && zip.Op == "ZipMap" {
			return g.unzip(zip)
		}
		switch t := v.Type; {
		case t.Kind != onnx.KindTensor:
		case t.Elem.IsFloat() && (t.Shape == nil || len(t.Shape) > 0):
			scores = append(scores, scoreOutput{value: v})
		case t.Elem == onnx.Int64 || t.Elem == onnx.Int32 || t.Elem == onnx.String:
			labels = append(labels, scoreOutput{value: v, kind: Labels})
		}
	}
	if len(scores) > 1 {
		scores = slices.DeleteFunc(scores, func(o scoreOutput) bool {
			return !strings.Contains(strings.ToLower(o.value.Name), "prob") && !strings.Contains(strings.ToLower(o.value.Name), "logit")
		})
	}
	switch {
	case len(scores) == 1:
		return scores[0], nil
	case len(scores) == 0 && len(labels) == 1:
		return labels[0], nil
	}
	var names []string
	for _, v := range g.graph.Outputs {
		names = append(names, fmt.Sprintf("%s: %s", v.Name, v.Type))
	}
	return scoreOutput{}, fmt.Errorf("which output holds the class scores is not clear: name one of %s", strings.Join(names, ", "))
}

// unzip takes the probabilities before they are made maps.
func (g *graphIndex) unzip(zip *onnx.Node) (scoreOutput, error) {
	var classes []string
	if classes = zip.Texts("classlabels_strings"); len(classes) == 0 {
		classes = numerals(zip.Ints("classlabels_int64s"))
	}
	if len(classes) == 0 || zip.Input(0) == "" {
		return scoreOutput{}, fmt.Errorf("%s has no classes", zip)
	}
	elem := onnx.Float32 // ZipMap takes nothing else
	t := onnx.TensorOf(elem, onnx.Dims(-1, len(classes)))
	return scoreOutput{value: onnx.Value{Name: zip.Input(0), Type: t}, classes: classes}, nil
}

func numerals(list []int64) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = strconv.FormatInt(v, 10)
	}
	return out
}
