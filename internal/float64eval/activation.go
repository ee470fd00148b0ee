package float64eval

import (
	"math"
	"math/rand/v2"

	"assay/onnx"
)

// activations holds functions of one number, and those like them.
var activations = map[string]reference{
	"Sin": each1(math.Sin), "Cos": each1(math.Cos), "Tan": each1(math.Tan),
	"Asin": each1(math.Asin), "Acos": each1(math.Acos), "Atan": each1(math.Atan),
	"Sinh": each1(math.Sinh), "Cosh": each1(math.Cosh), "Tanh": each1(math.Tanh),
	"Asinh": each1(math.Asinh), "Acosh": each1(math.Acosh), "Atanh": each1(math.Atanh),
	"Erf": each1(math.Erf), "Sigmoid": each1(sigmoid), "Softplus": each1(softplus),
	"Round":    each1(math.RoundToEven),
	"Softsign": each1(func(x float64) float64 { return x / (1 + math.Abs(x)) }),
	"Mish":     each1(func(x float64) float64 { return x * math.Tanh(softplus(x)) }),
	"HardSwish": each1(func(x float64) float64 {
		return x * min(1, max(0, x/6+0.5))
	}),
	"LeakyRelu": alphaBeta(0.01, 0, func(x, alpha, _ float64) float64 {
		if x < 0 {
			return alpha * x
		}
		return x
	}),
	"ThresholdedRelu": alphaBeta(1, 0, func(x, alpha, _ float64) float64 {
		if x > alpha {
			return x
		}
		return 0
	}),
	"Elu": alphaBeta(1, 0, func(x, alpha, _ float64) float64 {
		if x < 0 {
			return alpha * math.Expm1(x)
		}
		return x
	}),
	"Celu": alphaBeta(1, 0, func(x, alpha, _ float64) float64 {
		return max(0, x) + min(0, alpha*math.Expm1(x/alpha))
	}),
	"Swish": alphaBeta(1, 0, func(x, alpha, _ float64) float64 { return x * sigmoid(alpha*x) }),
	"HardSigmoid": alphaBeta(0.2, 0.5, func(x, alpha, beta float64) float64 {
		return max(0, min(1, alpha*x+beta))
	}),
	"Selu": func(n *onnx.Node, in []*array) ([]*array, error) {
		alpha := float64(n.Float("alpha", 1.67326319217681884765625))
		gamma := float64(n.Float("gamma", 1.05070102214813232421875))
		return one(in[0].mapped(func(x float64) float64 {
			if x > 0 {
				return gamma * x
			}
			return gamma * alpha * math.Expm1(x)
		}))
	},
	"Shrink": func(n *onnx.Node, in []*array) ([]*array, error) {
		lambd, bias := float64(n.Float("lambd", 0.5)), float64(n.Float("bias", 0))
		return one(in[0].mapped(func(x float64) float64 {
			switch {
			case x < -lambd:
				return x + bias
			case x > lambd:
				return x - bias
			}
			return 0
		}))
	},
	"Gelu": func(n *onnx.Node, in []*array) ([]*array, error) {
		if n.Text("approximate", "none") == "tanh" {
			return one(in[0].mapped(func(x float64) float64 {
				return 0.5 * x * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x+0.044715*x*x*x)))
			}))
		}
		return one(in[0].mapped(func(x float64) float64 { return 0.5 * x * (1 + math.Erf(x/math.Sqrt2)) }))
	},
	"PRelu": func(n *onnx.Node, in []*array) ([]*array, error) {
		return one(broadcast(in[0], in[1], func(x, slope float64) float64 {
			if x < 0 {
				return slope * x
			}
			return x
		}))
	},
	"Mod": func(n *onnx.Node, in []*array) ([]*array, error) {
		return one(broadcast(in[0], in[1], math.Mod))
	},
	"Dropout": dropout,
	"Mean": func(_ *onnx.Node, in []*array) ([]*array, error) {
		sum := in[0]
		for _, x := range in[1:] {
			sum = broadcast(sum, x, func(a, b float64) float64 { return a + b })
		}
		return one(sum.mapped(func(v float64) float64 { return v / float64(len(in)) }))
	},
}

func sigmoid(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func softplus(x float64) float64 { return max(x, 0) + math.Log1p(math.Exp(-math.Abs(x))) }

func each1(f func(float64) float64) reference {
	return func(_ *onnx.Node, in []*array) ([]*array, error) { return one(in[0].mapped(f)) }
}

// alphaBeta is a function with the attributes alpha and beta.
func alphaBeta(alpha, beta float32, f func(x, alpha, beta float64) float64) reference {
	return func(n *onnx.Node, in []*array) ([]*array, error) {
		a, b := float64(n.Float("alpha", alpha)), float64(n.Float("beta", beta))
		return one(in[0].mapped(func(x float64) float64 { return f(x, a, b) }))
	}
}

// dropout draws the same mask at every run, so that the result is a function of the
// input.
func dropout(n *onnx.Node, in []*array) ([]*array, error) {
	x, ratio, training := in[0], 0.5, false
	if r := optional(in, 1); r != nil {
		ratio = r.data[0]
	}
	if t := optional(in, 2); t != nil {
		training = t.data[0] != 0
	}
	out, mask := x.like(), x.like()
	mask.elem = onnx.Bool
	rng := rand.New(rand.NewPCG(uint64(n.Int("seed", 0)), 0))
	for i, v := range x.data {
		if !training || rng.Float64() >= ratio {
			mask.data[i] = 1
			out.data[i] = v
			if training {
				out.data[i] /= 1 - ratio
			}
		}
	}
	return []*array{out, mask}, nil
}
