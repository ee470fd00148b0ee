package autodiff

import (
	"errors"
	"fmt"
	"slices"

	"assay/onnx"
)

// normalisation holds the operators that scale values by their own statistics.
var normalisation = map[string]operator{
	"BatchNormalization":           {gradient: batchNormGradient},
	"InstanceNormalization":        {gradient: instanceNormGradient},
	"GroupNormalization":           {because: "the rank of its input is not known"}, // else it is expanded
	"LayerNormalization":           {gradient: layerNormGradient},
	"RMSNormalization":             {gradient: layerNormGradient},
	"SimplifiedLayerNormalization": {gradient: layerNormGradient}, // ONNX Runtime's name for RMSNormalization
	"MeanVarianceNormalization":    {gradient: meanVarianceGradient},
	"LpNormalization":              {gradient: lpNormGradient},
	"LRN":                          {gradient: lrnGradient},
	"Softmax":                      {gradient: softmaxGradient},
	"LogSoftmax":                   {gradient: logSoftmaxGradient},
}

// softmaxGradient: dx = y·(dy - Σ dy·y).
func softmaxGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	y := n.Outputs[0]
	sum := p.Op("ReduceSum", nil, p.Op("Mul", nil, dy[0], y), p.Ints(n.Int("axis", -1)))
	return []string{p.Op("Mul", nil, y, p.Op("Sub", nil, dy[0], sum))}, nil
}

// logSoftmaxGradient: dx = dy - eʸ·Σ dy.
func logSoftmaxGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	sum := p.Op("ReduceSum", nil, dy[0], p.Ints(n.Int("axis", -1)))
	spread := p.Op("Mul", nil, p.Op("Exp", nil, n.Outputs[0]), sum)
	return []string{p.Op("Sub", nil, dy[0], spread)}, nil
}

// expandBatchNormalization brings training mode to a form that gives the statistics
// of the batch itself, for the gradient to use: with a momentum of 0. The running
// statistics are made from these.
func expandBatchNormalization(e *expander, n *onnx.Node) []string {
	momentum := float64(n.Float("momentum", 0.9))
	if !e.elem(n.Inputs[3]).IsFloat() || !e.elem(n.Inputs[4]).IsFloat() {
		return nil
	}
	if n.Int("training_mode", 0) == 0 || momentum == 0 && n.Output(1) != "" && n.Output(2) != "" {
		return nil
	}
	rank := len(e.shape(n.Inputs[0]))
	if rank < 2 {
		return nil
	}
	// ONNX Runtime writes the new statistics over the old ones, even over a caller's
	// input. A momentum of 0 ignores the old ones, so it is given numbers of no use:
	// one element of each channel.
	others := append([]int64{0}, upTo(int64(rank))[2:]...)
	first := e.Op("Slice", nil, n.Inputs[0], e.Ints(make([]int64, rank-1)...),
		e.Ints(slices.Repeat([]int64{1}, rank-1)...), e.Ints(others...))
	scratch := e.Op("Cast", onnx.Attrs{"to": int64(e.elem(n.Inputs[3]))}, e.Op("Reshape", nil, first, e.Ints(-1)))
	batch := e.Ops("BatchNormalization", onnx.Attrs{
		"training_mode": int64(1), "momentum": float32(0), "epsilon": n.Float("epsilon", 1e-5),
	}, 3, n.Inputs[0], n.Inputs[1], n.Inputs[2], scratch, e.Op("Neg", nil, scratch))
	result := []string{batch[0]}
	for i, statistic := range batch[1:] {
		before := n.Inputs[3+i]
		t := e.elem(before)
		result = append(result, e.Op("Add", nil,
			e.Op("Mul", nil, before, e.Number(t, momentum)), e.Op("Mul", nil, statistic, e.Number(t, 1-momentum))))
	}
	return outputs(n, result...)
}

// batchNormGradient differentiates both modes; in training mode through the
// statistics of the batch, which expandBatchNormalization made the node give.
func batchNormGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	rank, err := p.rank(n.Inputs[0])
	if err != nil {
		return nil, err
	}
	if rank < 2 {
		return nil, fmt.Errorf("its input has %d dimensions, and no channels", rank)
	}
	p.float = p.elem(n.Inputs[0])
	epsilon := float64(n.Float("epsilon", 1e-5))
	if n.Int("training_mode", 0) == 0 {
		return p.frozenNorm(n, dy[0], rank, epsilon)
	}
	if n.Float("momentum", 0.9) != 0 || n.Output(1) == "" || n.Output(2) == "" {
		return nil, errors.New("the rank of its input or the type of its statistics is not known")
	}
	axes := append([]int64{0}, upTo(rank)[2:]...)
	inverse := p.rsqrt(p.plus(p.perChannel(n.Outputs[2], rank), epsilon))
	grads := make([]string, 3)
	if dy[0] != "" {
		grads = p.channelNorm(n, dy[0], p.perChannel(n.Outputs[1], rank), inverse, axes)
	}
	if p.wants(n.Inputs[0]) && (dy[1] != "" || dy[2] != "") {
		for i := 1; i < 3; i++ {
			if dy[i] != "" && p.elem(n.Outputs[i]) != p.float {
				dy[i] = p.cast(dy[i])
			}
		}
		grads[0] = p.ofBatch(n, grads[0], dy, rank, axes)
	}
	return grads, nil
}

// ofBatch adds to the gradient dx of a batch what comes through its statistics: 1/M
// for the mean of M elements, 2·(x-mean)/M for the variance.
func (p *pass) ofBatch(n *onnx.Node, dx string, dy []string, rank int64, axes []int64) string {
	x, count := n.Inputs[0], p.countAlong(n.Inputs[0], axes)
	for i := 1; i < 3; i++ {
		if dy[i] == "" {
			continue
		}
		part := p.Op("Div", nil, p.perChannel(dy[i], rank), count)
		if i == 1 && dx == "" {
			part = p.Op("Expand", nil, part, p.shapeOf(x))
		} else if i == 2 {
			part = p.Op("Mul", nil, p.times(part, 2), p.Op("Sub", nil, x, p.perChannel(n.Outputs[1], rank)))
		}
		if dx != "" {
			part = p.Op("Add", nil, dx, part)
		}
		dx = part
	}
	return dx
}

// perChannel shapes a vector over the channels to broadcast along dimension 1. It
// has the type of the gradient at hand.
func (p *pass) perChannel(v string, rank int64) string {
	if t := p.elem(v); t != p.float && t != onnx.Undefined {
		v = p.cast(v)
	}
	if rank == 2 {
		return v
	}
	shape := make([]int64, rank-1)
	shape[0] = -1
	for i := range shape[1:] {
		shape[i+1] = 1
	}
	return p.Op("Reshape", nil, v, p.Ints(shape...))
}

// frozenNorm is batch normalisation with given statistics: y = a·(x-mean) + bias
// with a = scale/√(variance+ε).
func (p *pass) frozenNorm(n *onnx.Node, dy string, rank int64, epsilon float64) ([]string, error) {
	x, scale, bias, mean, variance := n.Inputs[0], n.Inputs[1], n.Inputs[2], n.Inputs[3], n.Inputs[4]
	grads := make([]string, 5)
	inverse := p.rsqrt(p.plus(p.perChannel(variance, rank), epsilon))
	gain := p.Op("Mul", nil, p.perChannel(scale, rank), inverse)
	if p.wants(x) {
		grads[0] = p.Op("Mul", nil, dy, gain)
	}
	if !p.wants(scale) && !p.wants(bias) && !p.wants(mean) && !p.wants(variance) {
		return grads, nil
	}
	sum := p.sumButChannels(dy, int(rank)-2)
	flat := func(v string) string { return p.Op("Reshape", nil, v, p.Ints(-1)) }
	grads[2] = sum
	if p.wants(mean) {
		grads[3] = p.Op("Neg", nil, p.Op("Mul", nil, sum, flat(gain)))
	}
	if p.wants(scale) || p.wants(variance) {
		centred := p.Op("Sub", nil, x, p.perChannel(mean, rank))
		along := p.sumButChannels(p.Op("Mul", nil, dy, centred), int(rank)-2)
		grads[1] = p.Op("Mul", nil, along, flat(inverse))
		if p.wants(variance) {
			cubed := p.Op("Mul", nil, flat(gain), flat(p.square(inverse)))
			grads[4] = p.times(p.Op("Mul", nil, along, cubed), -0.5)
		}
	}
	for i, v := range n.Inputs[1:] {
		if t := p.elem(v); grads[i+1] != "" && t != p.float && t.IsFloat() {
			grads[i+1] = p.Op("Cast", onnx.Attrs{"to": int64(t)}, grads[i+1])
		}
	}
	return grads, nil
}

// instanceNormGradient: each channel of each example has statistics of its own.
func instanceNormGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	rank, err := p.rank(n.Inputs[0])
	if err != nil {
		return nil, err
	}
	if rank < 3 {
		return nil, fmt.Errorf("its input has %d dimensions, none of them to normalise over", rank)
	}
	axes := upTo(rank)[2:]
	mean, variance := p.moments(n.Inputs[0], axes)
	inverse := p.rsqrt(p.plus(variance, float64(n.Float("epsilon", 1e-5))))
	return p.channelNorm(n, dy[0], mean, inverse, axes), nil
}

// moments are the mean and the variance along axes, which stay with size 1.
func (p *pass) moments(x string, axes []int64) (mean, variance string) {
	mean = p.Op("ReduceMean", nil, x, p.Ints(axes...))
	return mean, p.Op("ReduceMean", nil, p.square(p.Op("Sub", nil, x, mean)), p.Ints(axes...))
}

// channelNorm is the gradient of y = scale·c·v + bias, where c = x-mean and v, one
// over the deviation, are taken along axes, and scale and bias are per channel:
//
//	dx = scale·v·(dy - mean(dy) - c·v²·mean(dy·c))
func (p *pass) channelNorm(n *onnx.Node, dy, mean, inverse string, axes []int64) []string {
	x, scale, bias := n.Inputs[0], n.Inputs[1], n.Inputs[2]
	rank, _ := p.rank(x)
	list := p.Ints(axes...)
	grads := make([]string, 3)
	sum := p.Op("ReduceSum", nil, dy, list)
	var along string
	if p.wants(x) || p.wants(scale) {
		centred := p.Op("Sub", nil, x, mean)
		along = p.Op("ReduceSum", nil, p.Op("Mul", nil, dy, centred), list)
		if p.wants(x) {
			count := p.countAlong(x, axes)
			tilt := p.Op("Div", nil, p.Op("Mul", nil, along, p.square(inverse)), count)
			dx := p.Op("Sub", nil, p.Op("Sub", nil, dy, p.Op("Div", nil, sum, count)), p.Op("Mul", nil, centred, tilt))
			grads[0] = p.Op("Mul", nil, dx, p.Op("Mul", nil, inverse, p.perChannel(scale, rank)))
		}
	}
	for i, d := range []string{along, sum} {
		v := []string{scale, bias}[i]
		if !p.wants(v) {
			continue
		}
		if v == scale {
			d = p.Op("Mul", nil, d, inverse)
		}
		if d = p.sumButChannels(d, int(rank)-2); p.elem(v) != p.float {
			d = p.Op("Cast", onnx.Attrs{"to": int64(p.elem(v))}, d)
		}
		grads[i+1] = d
	}
	return grads
}

// countAlong is the number of elements along axes of a value, as a number of the
// type of the gradient at hand.
func (p *pass) countAlong(x string, axes []int64) string {
	shape := p.shape(x)
	sizes := make([]int64, len(axes))
	for i, a := range axes {
		sizes[i] = -1
		if shape != nil {
			sizes[i] = shape[a].Size
		}
	}
	if count, ok := onnx.Count(sizes); ok {
		return p.number(float64(count))
	}
	along := p.Op("Gather", nil, p.Op("Shape", nil, x), p.Ints(axes...))
	return p.cast(p.Op("ReduceProd", onnx.Attrs{"keepdims": int64(0)}, along))
}

// expandGroupNormalization: the channels of a group are one instance to normalise,
// then each is scaled and moved (Wu and He 2018, arXiv:1803.08494).
func expandGroupNormalization(e *expander, n *onnx.Node) []string {
	x, elem := n.Inputs[0], e.elem(n.Inputs[0])
	groups := n.Int("num_groups", 0)
	rank := len(e.shape(x))
	if rank < 2 || groups < 1 || groups > maxGroups || !elem.IsFloat() {
		return nil
	}
	flat := e.Op("Reshape", nil, x, e.Ints(0, groups, -1))
	constant := func(v float64) string {
		values := make([]float64, groups)
		for i := range values {
			values[i] = v
		}
		t, err := onnx.FromFloat64s("", elem, values)
		if err != nil {
			panic("autodiff: " + err.Error())
		}
		return e.Constant(t)
	}
	normal := e.Op("InstanceNormalization", onnx.Attrs{"epsilon": n.Float("epsilon", 1e-5)}, flat, constant(1), constant(0))
	y := e.Op("Reshape", nil, normal, e.Op("Shape", nil, x))
	for i, op := range []string{"Mul", "Add"} {
		v := n.Inputs[i+1]
		if rank > 2 {
			v = e.Op("Unsqueeze", nil, v, e.Ints(upTo(int64(rank - 1))[1:]...))
		}
		y = e.Op(op, nil, y, v)
	}
	return outputs(n, y)
}

// maxGroups bounds the constants that expandGroupNormalization makes.
const maxGroups = 1 << 16

// meanVarianceGradient: y = c/(s+1e-9) with c = x-mean and s the deviation, so
// dx = (dy - mean(dy) - y·mean(dy·y)·(s+1e-9)/s)/(s+1e-9). Where s = 0 the last
// term is, too.
func meanVarianceGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	axes := n.Ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	list, y := p.Ints(axes...), n.Outputs[0]
	_, variance := p.moments(n.Inputs[0], axes)
	deviation := p.Op("Sqrt", nil, variance)
	divisor := p.plus(deviation, 1e-9)
	safe := p.Op("Where", nil, p.positive(deviation), deviation, p.number(1))
	along := p.Op("ReduceMean", nil, p.Op("Mul", nil, dy[0], y), list)
	tilt := p.Op("Mul", nil, along, p.Op("Div", nil, divisor, safe))
	dx := p.Op("Sub", nil, p.Op("Sub", nil, dy[0], p.Op("ReduceMean", nil, dy[0], list)), p.Op("Mul", nil, y, tilt))
	return []string{p.Op("Div", nil, dx, divisor)}, nil
}

// lpNormGradient: for y = x/‖x‖, dx = (dy - t·Σ dy·y)/‖x‖ with t = y for the
// Euclidean norm and sign(x) for the sum of absolute values. It is 0 where x is.
func lpNormGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, y, axis := n.Inputs[0], n.Outputs[0], p.Ints(n.Int("axis", -1))
	var norm, direction string
	switch order := n.Int("p", 2); order {
	case 1:
		norm, direction = p.Op("ReduceL1", nil, x, axis), p.Op("Sign", nil, x)
	case 2:
		norm, direction = p.Op("ReduceL2", nil, x, axis), y
	default:
		return nil, fmt.Errorf("its p is %d, and only 1 and 2 are defined", order)
	}
	along := p.Op("ReduceSum", nil, p.Op("Mul", nil, dy[0], y), axis)
	inverse := p.Op("Where", nil, p.positive(norm), p.Op("Reciprocal", nil, norm), p.number(0))
	dx := p.Op("Sub", nil, dy[0], p.Op("Mul", nil, direction, along))
	return []string{p.Op("Mul", nil, dx, inverse)}, nil
}

// lrnGradient: for y = x·S^(-β) with S = bias + α·(mean of x² over near channels),
// dx = dy·S^(-β) - 2αβ·x·(the mean of dy·y/S over the channels that x is near to).
func lrnGradient(p *pass, n *onnx.Node, dy []string) ([]string, error) {
	x, size := n.Inputs[0], n.Int("size", 1)
	if size < 1 {
		return nil, fmt.Errorf("its size is %d", size)
	}
	alpha, beta := float64(n.Float("alpha", 1e-4)), float64(n.Float("beta", 0.75))
	before, after := (size-1)/2, size/2
	s := p.plus(p.times(p.channelMean(p.square(x), x, before, after), alpha), float64(n.Float("bias", 1)))
	direct := p.Op("Mul", nil, dy[0], p.Op("Pow", nil, s, p.number(-beta)))
	near := p.channelMean(p.Op("Div", nil, p.Op("Mul", nil, dy[0], n.Outputs[0]), s), x, after, before)
	return []string{p.Op("Sub", nil, direct, p.Op("Mul", nil, p.times(x, 2*alpha*beta), near))}, nil
}

// channelMean is the mean of a value like x over a window of channels, those that
// do not exist counting as 0.
func (p *pass) channelMean(v, x string, before, after int64) string {
	planes := p.Op("Unsqueeze", nil, p.Op("Reshape", nil, v, p.Ints(0, 0, -1)), p.Ints(1))
	mean := p.Op("AveragePool", onnx.Attrs{
		"kernel_shape": []int64{before + after + 1, 1}, "pads": []int64{before, 0, after, 0}, "count_include_pad": int64(1),
	}, planes)
	return p.Op("Reshape", nil, mean, p.shapeOf(x))
}
