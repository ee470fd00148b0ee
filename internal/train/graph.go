package train

import (
	"errors"
	"fmt"
	"slices"

	"assay/internal/model"
	"assay/onnx"
	"assay/onnx/autodiff"
	"assay/onnx/infer"
	"assay/onnx/upgrade"
)

// plan is how a model is trained: what of it changes, and the graph for it.
type plan struct {
	source     *onnx.Model // as given: what is written out is this with other weights
	base       *onnx.Model // in the form that gradients are written in
	input      onnx.Value
	scores     string // the value that the loss is made from
	logarithm  bool   // of which the loss is made, as scores are probabilities
	columns    int    // numbers in an example's scores
	classes    int    // 0 for regression
	batch      int    // that the model is fixed to, 0 for any
	parameters []parameter
	statistics []statistic
	dropouts   []string // the first outputs of the Dropout nodes
}

// statistic is a running mean or variance of batch normalisation.
type statistic struct {
	name  string // of the initializer
	shape []int64
	elem  onnx.DataType
	norm  string // the first output of the node
	of    int    // its output: 1 for the mean, 2 for the variance
	keeps float64
}

// newPlan looks at a model to be trained, or measured, on data.
func newPlan(m *onnx.Model, d *Data, o *Options) (*plan, error) {
	base := m.Clone()
	if err := base.Inline(); err != nil {
		return nil, err
	}
	base, err := upgrade.To(base, autodiff.Opset)
	if err != nil {
		return nil, err
	}
	if err := base.Sort(); err != nil {
		return nil, err
	}
	p := &plan{source: m, base: base}
	if err := p.takeInput(d); err != nil {
		return nil, err
	}
	if err := p.takeScores(d, o.Output); err != nil {
		return nil, err
	}
	return p, nil
}

// takeParameters finds what training changes.
func (p *plan) takeParameters(frozen []string) (err error) {
	if p.parameters, err = parameters(p.base.Graph, p.scores, frozen); err != nil {
		return err
	}
	p.parameters = slices.DeleteFunc(p.parameters, func(w parameter) bool { return p.source.Graph.Initializer(w.name) == nil })
	p.takeModes()
	return nil
}

// takeInput finds the one input, and gives it the data's shape where the model
// leaves it open.
func (p *plan) takeInput(d *Data) error {
	free := p.base.Graph.FreeInputs()
	if len(free) != 1 {
		return fmt.Errorf("the model has %d inputs, and only models with one can be trained", len(free))
	}
	p.input = free[0]
	t := p.input.Type
	if t.Kind != onnx.KindTensor || len(t.Shape) == 0 {
		return fmt.Errorf("the model's input %q is %s, not a batch of examples", p.input.Name, t)
	}
	shape := slices.Clone(t.Shape)
	p.batch = int(max(shape[0].Size, 0))
	shape[0] = onnx.Dim{Size: -1, Param: "batch"}
	if p.batch > 0 {
		shape[0] = onnx.Dim{Size: int64(p.batch)}
	}
	for i := range shape[1:] {
		if !shape[i+1].Known() && len(d.Shape) == len(shape)-1 {
			shape[i+1] = onnx.Dim{Size: int64(d.Shape[i])}
		}
	}
	sizes, _ := shape[1:].Sizes()
	if width, ok := onnx.Count(sizes); !ok || width != int64(d.width()) {
		return fmt.Errorf("the model's input %q is %s, and the examples have the shape %v", p.input.Name, t, d.Shape)
	}
	p.input.Type.Shape = shape
	return nil
}

// takeScores finds the value that the loss is made from: the scores before a final
// softmax, or a sigmoid for two classes, where there is one; else the logarithm of
// probabilities.
func (p *plan) takeScores(d *Data, name string) error {
	g := p.base.Graph
	output, kind, err := scoresOutput(p.base, d, name)
	if err != nil {
		return err
	}
	p.scores = output
	if err := p.countColumns(output, d); err != nil {
		return err
	}
	if d.Classes == nil {
		return nil
	}
	made := producer(g, output)
	for made != nil && rearranging[made.Op] && made.Op != "Transpose" {
		made = producer(g, made.Input(0))
	}
	switch {
	case made != nil && made.Op == "Softmax":
		p.scores = made.Input(0)
	case made != nil && made.Op == "Sigmoid" && p.columns == 1:
		p.scores = made.Input(0)
	case kind == model.Probabilities && (made == nil || made.Op != "LogSoftmax"):
		p.logarithm = true
	}
	return nil
}

// countColumns learns how many numbers an example's scores have.
func (p *plan) countColumns(output string, d *Data) error {
	i := slices.IndexFunc(p.base.Graph.Inputs, func(v onnx.Value) bool { return v.Name == p.input.Name })
	p.base.Graph.Inputs[i] = p.input
	types, err := infer.Shapes(p.base)
	if err != nil {
		return err
	}
	t := types.Of(output)
	sizes, _ := t.Shape.Sizes()
	if t.Kind != onnx.KindTensor || !t.Elem.IsFloat() || len(sizes) == 0 {
		return fmt.Errorf("the model's output %q is %s, and floating-point numbers for each example are needed", output, t)
	}
	n, ok := onnx.Count(sizes[1:])
	if !ok || n == 0 || n > maxColumns {
		return fmt.Errorf("the model's output %q is %s, which does not tell how many numbers it has for each example", output, t)
	}
	p.columns = int(n)
	if d.Classes != nil {
		p.classes = max(p.columns, 2)
		return d.checkClasses(p.classes)
	}
	if p.columns != d.targets() {
		return fmt.Errorf("the model gives %d numbers for each example, and the targets have %d", p.columns, d.targets())
	}
	return nil
}

// maxColumns bounds what is taken for an example's scores.
const maxColumns = 1 << 20

// scoresOutput names the output to be trained, and tells what a classifier's means.
func scoresOutput(m *onnx.Model, d *Data, name string) (output string, kind model.Output, err error) {
	if name != "" {
		if !slices.ContainsFunc(m.Graph.Outputs, func(v onnx.Value) bool { return v.Name == name }) {
			return "", "", fmt.Errorf("the model has no output %q", name)
		}
		return name, "", nil
	}
	if d.Classes == nil {
		if len(m.Graph.Outputs) != 1 {
			return "", "", fmt.Errorf("the model has %d outputs: name the one to be trained", len(m.Graph.Outputs))
		}
		return m.Graph.Outputs[0].Name, "", nil
	}
	r, err := model.Recognise(m, model.Override{})
	if err != nil {
		return "", "", err
	}
	if r.Output == model.Labels {
		return "", "", errors.New("the model gives only labels, which have no gradient")
	}
	return r.Model.Graph.Outputs[0].Name, r.Output, nil
}

func producer(g *onnx.Graph, value string) *onnx.Node {
	for _, n := range g.Nodes {
		if slices.Contains(n.Outputs, value) {
			return n
		}
	}
	return nil
}

// takeModes finds the nodes that work differently in training: batch normalisation
// of which a parameter is trained, and dropout.
func (p *plan) takeModes() {
	trained := map[string]bool{}
	for _, w := range p.parameters {
		trained[w.name] = true
	}
	g := p.base.Graph
	for _, n := range needed(g, p.scores) {
		switch n.OpType() {
		case "BatchNormalization":
			if !trained[n.Input(1)] && !trained[n.Input(2)] {
				continue
			}
			mean, variance := g.Initializer(n.Input(3)), g.Initializer(n.Input(4))
			if mean == nil || variance == nil || p.source.Graph.Initializer(mean.Name) == nil || p.source.Graph.Initializer(variance.Name) == nil {
				continue // computed from something else, which running statistics cannot replace
			}
			for i, t := range []*onnx.Tensor{mean, variance} {
				p.statistics = append(p.statistics, statistic{name: t.Name, shape: t.Shape, elem: t.Type,
					norm: n.Output(0), of: 1 + i, keeps: float64(n.Float("momentum", 0.9))})
			}
		case "Dropout":
			p.dropouts = append(p.dropouts, n.Output(0))
		}
	}
}
