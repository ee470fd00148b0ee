package craft

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"assay/internal/dataset"
	"assay/internal/method/poisoning/plant"
	"assay/internal/model/ort"
	"assay/onnx"
	"assay/onnx/autodiff"
)

// GradientMatching changes records of the target class a little, so that training on them moves a model's weights as training on
// the victim under the target's label would ("Witches' Brew": Geiping et al. 2021, arXiv:2009.02276, equation 3 and Algorithm 1).
// The gradient of the alignment by the records is that of a gradient, and exact. Of the paper's restarts and its
// augmentation there is none.
type GradientMatching struct {
	Model  *onnx.Model // trained on such data, giving logits
	Victim []float32   // an encoded record of another class
	Eps    float64     // 0 for plant.UsualEps; the paper has 16/255
	Steps  int         // 0 for 250, the paper's own
}

// Describe implements plant.Planter.
func (GradientMatching) Describe() plant.Description {
	return plant.Description{Name: "gradient-matching", Summary: "records of the target class that train a model as one input would", Targeted: true, CleanLabel: true, Reference: "Geiping et al. 2021 (arXiv:2009.02276), Algorithm 1"}
}

// Plant implements plant.Planter.
func (m GradientMatching) Plant(ctx context.Context, d *dataset.Dataset, o plant.Options) (*plant.Planted, error) {
	p, chosen, err := plant.Towards(d, o, m.Describe())
	if err != nil {
		return nil, err
	}
	if err := p.Victim(m.Victim); err != nil {
		return nil, fmt.Errorf("gradient-matching %w", err)
	}
	if m.Eps == 0 {
		m.Eps = plant.UsualEps
	}
	if m.Steps == 0 {
		m.Steps = 250
	}
	if m.Model == nil || !(m.Eps > 0 && m.Eps <= 1) || m.Steps < 1 {
		return nil, errors.New("gradient-matching needs a model that was trained on such data, a part of the range from 0 to 1, and 1 step or more")
	}
	if len(chosen) == 0 {
		return p, nil
	}
	a, err := newAlignment(ctx, m.Model, m.Victim, o.Target)
	if err != nil {
		return nil, err
	}
	defer a.close()
	ball, err := plant.NewBall(d, m.Eps)
	if err != nil {
		return nil, err
	}
	x, err := a.craft(ctx, ball, d, chosen, int64(o.Target), m.Steps, rand.New(rand.NewPCG(o.Seed, 3)))
	if err != nil {
		return nil, err
	}
	for k, i := range chosen {
		ball.Settle(d.Record(i), x[k*len(m.Victim):(k+1)*len(m.Victim)])
		copy(p.Dataset.Record(i), x[k*len(m.Victim):])
		p.Which[i] = true
	}
	return p, nil
}

// alignment is the cosine between the gradient by the weights of records' loss and that of the victim's.
type alignment struct {
	graph  *graph
	first  *program // rows, weights, labels: the gradients by the weights
	second *program // and directions: the gradient by the rows of the former's product with the directions
	victim [][]float32
}

func newAlignment(ctx context.Context, m *onnx.Model, victim []float32, target int) (_ *alignment, err error) {
	a := &alignment{}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	for _, to := range []**program{&a.first, &a.second} {
		if a.graph, err = open(m, true); err != nil {
			return nil, err
		}
		if err := a.graph.weightGradients(to == &a.second); err != nil {
			return nil, err
		}
		if *to, err = a.graph.program(); err != nil {
			return nil, err
		}
	}
	if n := a.graph.rowShape(1); int64(len(victim)) != product(n) {
		return nil, fmt.Errorf("the data do not fit the model: a record has %d numbers, and the model takes %v", len(victim), n[1:])
	}
	a.victim, err = a.gradients(ctx, victim, []int64{int64(target)})
	return a, err
}

func product(sizes []int64) int64 {
	n := int64(1)
	for _, s := range sizes {
		n *= s
	}
	return n
}

// weightGradients adds the loss and its gradients by the leaves, or the second gradient.
func (x *graph) weightGradients(second bool) error {
	labels := x.Input("assay_labels", onnx.Int64, x.dim())
	each, err := x.Loss(autodiff.CrossEntropy, x.scores, labels)
	if err != nil {
		return err
	}
	gradients, err := x.Gradient(each, x.leaves...)
	if err != nil {
		return err
	}
	if !second {
		for i, name := range gradients.Names {
			x.OutputAs(fmt.Sprintf("assay_gradient%d", i), name, onnx.Float32, onnx.Fixed(x.shapes[i]...))
		}
		x.OutputAs("assay_loss", each, onnx.Float32, onnx.Dims(x.dim()))
		return nil
	}
	sum := ""
	for i, name := range gradients.Names {
		direction := onnx.Value{Name: x.Name(fmt.Sprintf("assay_direction%d", i)), Type: onnx.TensorOf(onnx.Float32, onnx.Fixed(x.shapes[i]...))}
		x.Graph.Graph.Inputs = append(x.Graph.Graph.Inputs, direction)
		part := x.Op("ReduceSum", onnx.Attrs{"keepdims": int64(0)}, x.Op("Mul", nil, name, direction.Name))
		if sum != "" {
			part = x.Op("Add", nil, sum, part)
		}
		sum = part
	}
	back, err := x.Gradient(sum, x.rows.Name)
	if err != nil {
		return fmt.Errorf("the model's gradient cannot be differentiated again: %w", err)
	}
	x.OutputAs("assay_second", back.Names[0], onnx.Float32, x.rows.Type.Shape)
	return nil
}

// gradients gives those of the sum of losses by each of the weights.
func (a *alignment) gradients(ctx context.Context, rows []float32, labels []int64) ([][]float32, error) {
	out, err := a.first.run(ctx, a.inputs(rows, labels)...)
	if err != nil {
		return nil, err
	}
	gradients := make([][]float32, len(a.graph.leaves)) // the loss comes after them
	for i := range gradients {
		gradients[i] = ort.Data[float32](out[i])
	}
	return gradients, nil
}

func (a *alignment) inputs(rows []float32, labels []int64) []*ort.Tensor {
	in := []*ort.Tensor{ort.NewTensor(rows, a.graph.rowShape(len(labels))...)}
	in = append(in, a.graph.leafTensors(a.graph.values)...)
	return append(in, ort.NewTensor(labels))
}

// together is how many records are looked at at once.
const together = 128

// cosine gives 1 less the alignment, and its gradient by the rows.
func (a *alignment) cosine(ctx context.Context, rows []float32, labels []int64) (float64, []float32, error) {
	width := len(rows) / len(labels)
	var total [][]float32
	for from := 0; from < len(labels); from += together {
		to := min(from+together, len(labels))
		part, err := a.gradients(ctx, rows[from*width:to*width], labels[from:to])
		if err != nil {
			return 0, nil, err
		}
		if total == nil {
			total = part
			continue
		}
		for i := range part {
			for j, v := range part[i] {
				total[i][j] += v
			}
		}
	}
	var product, mine, theirs float64
	for i := range total {
		for j, v := range total[i] {
			t := float64(a.victim[i][j])
			product, mine, theirs = product+float64(v)*t, mine+float64(v)*float64(v), theirs+t*t
		}
	}
	if mine == 0 || theirs == 0 {
		return 0, nil, errors.New("a gradient vanishes: the model is too sure of the target's records, or gives the victim the target's label already")
	}
	norm := math.Sqrt(mine * theirs)
	// The loss depends on the rows by the sum of gradients alone: its derivative by that is a direction for each weight.
	directions := make([][]float32, len(total))
	for i := range total {
		directions[i] = make([]float32, len(total[i]))
		for j, v := range total[i] {
			directions[i][j] = float32(product/norm*float64(v)/mine - float64(a.victim[i][j])/norm)
		}
	}
	slope := make([]float32, 0, len(rows))
	for from := 0; from < len(labels); from += together {
		to := min(from+together, len(labels))
		out, err := a.second.run(ctx, append(a.inputs(rows[from*width:to*width], labels[from:to]), a.graph.leafTensors(directions)...)...)
		if err != nil {
			return 0, nil, err
		}
		slope = append(slope, ort.Data[float32](out[0])...)
	}
	return 1 - product/norm, slope, nil
}

// craft gives the chosen records changed, from a start at random, by signed steps with momentum whose size falls by
// ten after 3, 5 and 7 eighths of them (appendix A of the paper, with Adam's sign, which is that of its momentum).
func (a *alignment) craft(ctx context.Context, ball *plant.Ball, d *dataset.Dataset, chosen []int, class int64, steps int, rng *rand.Rand) ([]float32, error) {
	width := d.Schema.Width()
	x, labels := make([]float32, 0, len(chosen)*width), make([]int64, len(chosen))
	for k, i := range chosen {
		labels[k] = class
		record, start := d.Record(i), make([]float32, width)
		for j, v := range record {
			start[j] = v + float32((2*rng.Float64()-1)*ball.Eps()*ball.Scale(j))
		}
		ball.Within(record, start)
		x = append(x, start...)
	}
	momentum := make([]float32, len(x))
	size, best, least := ball.Eps()/10, append([]float32(nil), x...), math.Inf(1)
	for step := range steps {
		loss, slope, err := a.cosine(ctx, x, labels)
		if err != nil {
			return nil, err
		}
		if loss < least {
			least = loss
			copy(best, x)
		}
		for _, eighths := range []int{3, 5, 7} {
			if step == steps*eighths/8 {
				size /= 10
			}
		}
		for j, v := range slope {
			momentum[j] = 0.9*momentum[j] + 0.1*v
		}
		for k, i := range chosen {
			ball.Step(d.Record(i), x[k*width:(k+1)*width], momentum[k*width:(k+1)*width], -size)
		}
	}
	return best, nil
}

func (a *alignment) close() {
	for _, p := range []*program{a.first, a.second} {
		if p != nil {
			p.close()
		}
	}
}
