package float64eval

import (
	"math"
	"slices"

	"assay/onnx"
)

// normalizations holds the operators that subtract means and divide by deviations.
var normalizations = map[string]reference{
	"BatchNormalization": batchNormalization, "InstanceNormalization": instanceNormalization,
	"GroupNormalization": groupNormalization, "LayerNormalization": layerNormalization,
	"RMSNormalization": rmsNormalization, "SimplifiedLayerNormalization": rmsNormalization, "LRN": lrn,
	"MeanVarianceNormalization": meanVariance, "LpNormalization": lpNormalization,
}

// moments gives the mean and the variance (over n, not n-1) of numbers.
func moments(v []float64) (mean, variance float64) {
	for _, x := range v {
		mean += x / float64(len(v))
	}
	for _, x := range v {
		variance += (x - mean) * (x - mean) / float64(len(v))
	}
	return mean, variance
}

// grouped sorts the elements of a shape into groups by key, as lists of their numbers.
func grouped(shape []int, key func(at []int) int) map[int][]int {
	groups := map[int][]int{}
	each(shape, func(at []int, i int) {
		k := key(at)
		groups[k] = append(groups[k], i)
	})
	return groups
}

func (a *array) pick(list []int) []float64 {
	out := make([]float64, len(list))
	for i, j := range list {
		out[i] = a.data[j]
	}
	return out
}

// normalized gives (x - mean)/√(variance + ε) within each group.
func normalized(x *array, epsilon float64, key func(at []int) int) *array {
	y := x.like()
	for _, list := range grouped(x.shape, key) {
		mean, variance := moments(x.pick(list))
		for _, i := range list {
			y.data[i] = (x.data[i] - mean) / math.Sqrt(variance+epsilon)
		}
	}
	return y
}

// byChannel applies scale and bias of the second dimension.
func byChannel(x, scale, bias *array) *array {
	y := x.like()
	each(x.shape, func(at []int, i int) { y.data[i] = x.data[i]*scale.data[at[1]] + bias.data[at[1]] })
	return y
}

func batchNormalization(n *onnx.Node, in []*array) ([]*array, error) {
	x, scale, bias, mean, variance := in[0], in[1], in[2], in[3], in[4]
	epsilon, momentum := float64(n.Float("epsilon", 1e-5)), float64(n.Float("momentum", 0.9))
	channel := func(at []int) int {
		if len(at) > 1 {
			return at[1]
		}
		return 0
	}
	var running []*array
	if n.Int("training_mode", 0) != 0 {
		newMean, newVariance := mean.like(), variance.like()
		oldMean, oldVariance := mean, variance
		mean, variance = mean.like(), variance.like()
		for c, list := range grouped(x.shape, channel) {
			mean.data[c], variance.data[c] = moments(x.pick(list))
			newMean.data[c] = oldMean.data[c]*momentum + mean.data[c]*(1-momentum)
			newVariance.data[c] = oldVariance.data[c]*momentum + variance.data[c]*(1-momentum)
		}
		running = []*array{newMean, newVariance}
	}
	y := x.like()
	each(x.shape, func(at []int, i int) {
		c := channel(at)
		y.data[i] = (x.data[i]-mean.data[c])/math.Sqrt(variance.data[c]+epsilon)*scale.data[c] + bias.data[c]
	})
	return slices.Concat([]*array{y}, running), nil
}

func instanceNormalization(n *onnx.Node, in []*array) ([]*array, error) {
	x := in[0]
	y := normalized(x, float64(n.Float("epsilon", 1e-5)), func(at []int) int { return at[0]*x.shape[1] + at[1] })
	return one(byChannel(y, in[1], in[2]))
}

func groupNormalization(n *onnx.Node, in []*array) ([]*array, error) {
	x, groups := in[0], int(n.Int("num_groups", 1))
	y := normalized(x, float64(n.Float("epsilon", 1e-5)), func(at []int) int {
		return at[0]*groups + at[1]/(x.shape[1]/groups)
	})
	return one(byChannel(y, in[1], in[2]))
}

// leading numbers the places along the dimensions before axis.
func leading(shape []int, axis int) func(at []int) int {
	return func(at []int) int {
		k := 0
		for d := range axis {
			k = k*shape[d] + at[d]
		}
		return k
	}
}

func layerNormalization(n *onnx.Node, in []*array) ([]*array, error) {
	x := in[0]
	axis := axisOf(n, -1, len(x.shape))
	epsilon := float64(n.Float("epsilon", 1e-5))
	y := normalized(x, epsilon, leading(x.shape, axis))
	y = broadcast(y, in[1], func(a, b float64) float64 { return a * b })
	if bias := optional(in, 2); bias != nil {
		y = broadcast(y, bias, func(a, b float64) float64 { return a + b })
	}
	stats := append([]int{}, x.shape...)
	for d := axis; d < len(stats); d++ {
		stats[d] = 1
	}
	mean, inverse := newArray(stats...), newArray(stats...)
	for k, list := range grouped(x.shape, leading(x.shape, axis)) {
		m, v := moments(x.pick(list))
		mean.data[k], inverse.data[k] = m, 1/math.Sqrt(v+epsilon)
	}
	return []*array{y, mean, inverse}, nil
}

func axisOf(n *onnx.Node, otherwise int64, rank int) int {
	axis := int(n.Int("axis", otherwise))
	if axis < 0 {
		axis += rank
	}
	return axis
}

func rmsNormalization(n *onnx.Node, in []*array) ([]*array, error) {
	x, y := in[0], in[0].like()
	axis := axisOf(n, -1, len(x.shape))
	for _, list := range grouped(x.shape, leading(x.shape, axis)) {
		sum := 0.0
		for _, v := range x.pick(list) {
			sum += v * v
		}
		for _, i := range list {
			y.data[i] = x.data[i] / math.Sqrt(sum/float64(len(list))+float64(n.Float("epsilon", 1e-5)))
		}
	}
	return one(broadcast(y, in[1], func(a, b float64) float64 { return a * b }))
}

func lrn(n *onnx.Node, in []*array) ([]*array, error) {
	x, y := in[0], in[0].like()
	alpha, beta, bias := float64(n.Float("alpha", 1e-4)), float64(n.Float("beta", 0.75)), float64(n.Float("bias", 1))
	size := int(n.Int("size", 1))
	each(x.shape, func(at []int, i int) {
		sum := 0.0
		other := slices.Clone(at)
		for c := at[1] - (size-1)/2; c <= at[1]+size/2; c++ {
			other[1] = c
			v := x.at(other...)
			sum += v * v
		}
		y.data[i] = x.data[i] / math.Pow(bias+alpha/float64(size)*sum, beta)
	})
	return one(y)
}

func meanVariance(n *onnx.Node, in []*array) ([]*array, error) {
	x, axes := in[0], n.Ints("axes")
	if axes == nil {
		axes = []int64{0, 2, 3}
	}
	return one(normalized(x, 1e-18, func(at []int) int {
		k := 0
		for d := range at {
			if !slices.Contains(axes, int64(d)) && !slices.Contains(axes, int64(d-len(at))) {
				k = k*x.shape[d] + at[d]
			}
		}
		return k
	}))
}

func lpNormalization(n *onnx.Node, in []*array) ([]*array, error) {
	x, y := in[0], in[0].like()
	axis, p := axisOf(n, -1, len(x.shape)), float64(n.Int("p", 2))
	for _, list := range grouped(x.shape, except(x.shape, axis)) {
		sum := 0.0
		for _, v := range x.pick(list) {
			sum += math.Pow(math.Abs(v), p)
		}
		for _, i := range list {
			if sum > 0 {
				y.data[i] = x.data[i] / math.Pow(sum, 1/p)
			}
		}
	}
	return one(y)
}
