package train

import (
	"fmt"
	"math"
	"runtime"
	"sync"
)

// Optimizer says how weights follow their gradients. A zero field stands for the
// usual value, given beside it.
type Optimizer struct {
	Method   Method  // Adam
	Rate     float64 // the learning rate: 0.001, for SGD 0.1
	Momentum float64 // of SGD, below 1
	Nesterov bool    // of SGD: look ahead along the momentum
	Beta1    float64 // of Adam and AdamW: 0.9
	Beta2    float64 // of Adam and AdamW: 0.999
	Epsilon  float64 // of Adam and AdamW: 1e-8
	Decay    float64 // of weights: added to the gradient times the weight; of AdamW decoupled
	DecayAll bool    // decay biases and the parameters of normalisation too
}

// Method is a way to follow gradients.
type Method string

// The methods.
const (
	// SGD is stochastic gradient descent with momentum, v ← μv + g, w ← w - ηv, and
	// with Nesterov's look ahead w ← w - η(g + μv): Sutskever et al. (2013, "On the
	// importance of initialization and momentum in deep learning", section 2), in the
	// form in which the rate stands outside the velocity.
	SGD Method = "sgd"
	// Adam is algorithm 1 of Kingma and Ba (2014, arXiv:1412.6980).
	Adam Method = "adam"
	// AdamW is algorithm 2 of Loshchilov and Hutter (2017, arXiv:1711.05101), with the
	// decay multiplied by the learning rate: w ← w - ηλw beside Adam's step.
	AdamW Method = "adamw"
)

// complete checks the settings and fills in the usual values.
func (o Optimizer) complete() (Optimizer, error) {
	if o.Method == "" {
		o.Method = Adam
	}
	rate := 0.001
	switch o.Method {
	case SGD:
		rate = 0.1
	case Adam, AdamW:
	default:
		return o, fmt.Errorf("there is no optimizer %q: use %s, %s or %s", o.Method, SGD, Adam, AdamW)
	}
	for _, v := range []struct {
		value *float64
		usual float64
	}{{&o.Rate, rate}, {&o.Beta1, 0.9}, {&o.Beta2, 0.999}, {&o.Epsilon, 1e-8}} {
		if *v.value == 0 {
			*v.value = v.usual
		}
	}
	switch {
	case !(o.Rate > 0 && o.Rate < math.MaxFloat32):
		return o, fmt.Errorf("a learning rate of %v is not above 0", o.Rate)
	case !(o.Momentum >= 0 && o.Momentum < 1) || !(o.Beta1 > 0 && o.Beta1 < 1) || !(o.Beta2 > 0 && o.Beta2 < 1):
		return o, fmt.Errorf("momentum %v and betas %v and %v must be below 1, and not below 0", o.Momentum, o.Beta1, o.Beta2)
	case !(o.Epsilon > 0) || !(o.Decay >= 0 && o.Decay < math.MaxFloat32):
		return o, fmt.Errorf("an epsilon of %v or a weight decay of %v is below 0", o.Epsilon, o.Decay)
	case o.Nesterov && (o.Method != SGD || o.Momentum == 0):
		return o, fmt.Errorf("Nesterov's look ahead needs %s with a momentum", SGD)
	}
	return o, nil
}

// state is what an optimizer keeps from step to step, one number for each weight.
type state struct {
	steps  int
	first  []float32 // velocity, or the mean of the gradients
	second []float32 // mean of the squared gradients
}

func (o Optimizer) newState(weights int) *state {
	s := &state{}
	if o.Method != SGD || o.Momentum > 0 {
		s.first = make([]float32, weights)
	}
	if o.Method != SGD {
		s.second = make([]float32, weights)
	}
	return s
}

// segment is a range of the flat weights that decays alike.
type segment struct {
	start, end int
	decay      bool
}

// step changes the weights, flat like their gradients, at a learning rate. Segments
// are disjoint; each number's result depends on nothing else, so they may be
// worked on side by side.
func (o Optimizer) step(s *state, weights, grads []float32, segments []segment, rate float64) {
	s.steps++
	// Adam's correction of means that began at 0.
	first, second := 1.0, 1.0
	if o.Method != SGD {
		first = 1 - math.Pow(o.Beta1, float64(s.steps))
		second = 1 - math.Pow(o.Beta2, float64(s.steps))
	}
	u := update{Optimizer: o, state: s, weights: weights, grads: grads, rate: rate, first: first, second: second}
	workers := runtime.GOMAXPROCS(0)
	if workers == 1 || len(weights) < parallelWeights {
		u.run(segments, 0, len(weights))
		return
	}
	var wg sync.WaitGroup
	share := (len(weights) + workers - 1) / workers
	for start := 0; start < len(weights); start += share {
		wg.Go(func() { u.run(segments, start, min(start+share, len(weights))) })
	}
	wg.Wait()
}

// parallelWeights is from how many weights on several processors are worth their start.
const parallelWeights = 1 << 16

// update is one step of an optimizer.
type update struct {
	Optimizer
	state          *state
	weights, grads []float32
	rate           float64
	first, second  float64
}

// run updates the weights from start to end.
func (u *update) run(segments []segment, start, end int) {
	for _, s := range segments {
		from, to := max(s.start, start), min(s.end, end)
		if from >= to {
			continue
		}
		decay := 0.0
		if s.decay || u.DecayAll {
			decay = u.Decay
		}
		if u.Method == SGD {
			u.sgd(from, to, float32(decay))
		} else {
			u.adam(from, to, decay)
		}
	}
}

func (u *update) sgd(from, to int, decay float32) {
	w, g := u.weights[from:to], u.grads[from:to]
	rate, momentum := float32(u.rate), float32(u.Momentum)
	g = g[:len(w)]
	if u.Momentum == 0 {
		for i := range w {
			w[i] -= rate * (g[i] + decay*w[i])
		}
		return
	}
	v := u.state.first[from:to][:len(w)]
	ahead, own := float32(1), float32(0)
	if u.Nesterov {
		ahead, own = momentum, 1
	}
	for i := range w {
		d := g[i] + decay*w[i]
		v[i] = momentum*v[i] + d
		w[i] -= rate * (ahead*v[i] + own*d)
	}
}

func (u *update) adam(from, to int, decay float64) {
	w, g := u.weights[from:to], u.grads[from:to]
	m, v := u.state.first[from:to][:len(w)], u.state.second[from:to][:len(w)]
	g = g[:len(w)]
	beta1, beta2 := float32(u.Beta1), float32(u.Beta2)
	own1, own2 := float32(1-u.Beta1), float32(1-u.Beta2) // 1 - 0.999 in float32 is off by 1e-5 of itself
	rate, root, epsilon := float32(u.rate/u.first), float32(1/math.Sqrt(u.second)), float32(u.Epsilon)
	coupled, kept := float32(decay), float32(1)
	if u.Method == AdamW {
		coupled, kept = 0, float32(1-u.rate*decay)
	}
	for i := range w {
		d := g[i] + coupled*w[i]
		m[i] = beta1*m[i] + own1*d
		v[i] = beta2*v[i] + own2*d*d
		w[i] = kept*w[i] - rate*m[i]/(float32(math.Sqrt(float64(v[i])))*root+epsilon)
	}
}
