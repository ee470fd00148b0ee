package membership

import (
	"context"
	"fmt"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat/distuv"
)

// Attack gives each record of a view a score, of which higher ones speak for a member.
type Attack struct {
	Name      string
	Reference string // the paper, with its section
	Shadows   bool   // needs shadow models
	Augmented bool   // needs augmented queries
	Score     func(ctx context.Context, v *View) ([]float64, error)
}

// All gives the attacks that take no settings, from the weakest to the strongest.
func All() []Attack {
	return []Attack{
		{Name: "loss", Reference: "Yeom et al. 2018 (arXiv:1709.01604), section III", Score: loss},
		{Name: "confidence", Reference: "Salem et al. 2019 (arXiv:1806.01246), section V", Score: largest},
		{Name: "label-augmentation", Reference: "Choquette-Choo et al. 2021 (arXiv:2007.14321), section 3.3", Augmented: true, Score: labels},
		{Name: "quantile", Reference: "Bertran et al. 2023 (arXiv:2307.03694), section 3", Score: quantile},
		{Name: "calibrated", Reference: "Watson et al. 2022 (arXiv:2111.08440), section 3", Shadows: true, Score: calibrated},
		{Name: "rmia-offline", Reference: "Zarifzadeh et al. 2024 (arXiv:2312.03262), section 3 and appendix B.2.2", Shadows: true, Score: rmiaOffline},
		{Name: "rmia", Reference: "Zarifzadeh et al. 2024 (arXiv:2312.03262), section 3", Shadows: true, Score: rmia},
		{Name: "lira-offline", Reference: "Carlini et al. 2022 (arXiv:2112.03570), section V-C", Shadows: true, Score: liraOffline},
		{Name: "lira-augmented", Reference: "Carlini et al. 2022 (arXiv:2112.03570), section VI-C", Shadows: true, Augmented: true, Score: liraAugmented},
		{Name: "lira", Reference: "Carlini et al. 2022 (arXiv:2112.03570), Algorithm 1", Shadows: true, Score: lira},
	}
}

// loss takes a small loss as a sign of a member.
func loss(_ context.Context, v *View) ([]float64, error) {
	return each(v, func(i int) float64 { return v.Target.Logit[i*v.Target.Queries] }), nil
}

// largest takes a large probability of any class as one: it needs no label.
func largest(_ context.Context, v *View) ([]float64, error) {
	return slices.Clone(v.Target.Top), nil
}

// labels counts in how many queries the model, which tells labels alone, gives the record's own.
func labels(_ context.Context, v *View) ([]float64, error) {
	return each(v, func(i int) float64 {
		count := 0.0
		for q := range v.Target.Queries {
			if v.Target.Hit[i*v.Target.Queries+q] {
				count++
			}
		}
		return count
	}), nil
}

// calibrated compares the loss with that of models which were not trained on the record: its difficulty.
func calibrated(_ context.Context, v *View) ([]float64, error) {
	if err := v.enough(1); err != nil {
		return nil, err
	}
	return each(v, func(i int) float64 {
		sum, n := 0.0, 0.0
		for _, r := range v.References {
			if !r.In[i] {
				sum += r.Loss(i)
				n++
			}
		}
		return sum/n - v.Target.Loss(i)
	}), nil
}

func each(v *View, score func(i int) float64) []float64 {
	out := make([]float64, v.Len())
	for i := range out {
		out[i] = score(i)
	}
	return out
}

// enough asks for so many shadows with each record and as many without.
func (v *View) enough(each int) error {
	if len(v.References) < 2*each {
		return fmt.Errorf("%d shadow models are too few: it takes %d with each record and as many without", len(v.References), each)
	}
	return nil
}

// lira is the likelihood ratio attack: the target's logit is compared with two normal distributions, of the shadows that were trained on
// the record and of those that were not.
func lira(_ context.Context, v *View) ([]float64, error) { return v.likelihoods(1) }

// liraAugmented adds up the ratios of all queries, as if they were independent. It is better where trainings augment alike, and worse where they do not.
func liraAugmented(_ context.Context, v *View) ([]float64, error) {
	return v.likelihoods(v.Target.Queries)
}

func (v *View) likelihoods(queries int) ([]float64, error) {
	if err := v.enough(2); err != nil {
		return nil, err
	}
	in, out := v.normals(true), v.normals(false)
	if len(v.References) < ownVariance {
		// One variance for both, as in the authors' program: with two, what is far from everything would have the greatest ratios.
		shared := math.Sqrt((in[0].Sigma*in[0].Sigma + out[0].Sigma*out[0].Sigma) / 2)
		for at := range in {
			in[at].Sigma, out[at].Sigma = shared, shared
		}
	}
	return v.sum(queries, func(at int) float64 {
		x := v.Target.Logit[at]
		return in[at].LogProb(x) - out[at].LogProb(x)
	}), nil
}

// liraOffline compares with the shadows that were not trained on the record alone: how unlikely is it that such a model has a
// logit as large?
func liraOffline(_ context.Context, v *View) ([]float64, error) {
	if err := v.enough(2); err != nil {
		return nil, err
	}
	out := v.normals(false)
	return v.sum(1, func(at int) float64 {
		// The score of the paper, 1 - Pr[Z > logit], grows as this does, which does not end at 1.
		return (v.Target.Logit[at] - out[at].Mu) / out[at].Sigma
	}), nil
}

// sum adds up a score of the first queries of each record.
func (v *View) sum(queries int, score func(at int) float64) []float64 {
	q := v.Target.Queries
	return each(v, func(i int) float64 {
		sum := 0.0
		for at := i * q; at < i*q+queries; at++ {
			sum += score(at)
		}
		return sum
	})
}

// ownVariance is from how many shadows on a variance is fitted to each record by itself; below it is one for all (Carlini et
// al. 2022, section VI-A and figure 9).
const ownVariance = 64

// leastDeviation keeps a shadow's answers that are all the same from making a difference infinite.
const leastDeviation = 1e-3

// normals fits the distribution of each query's logit over the shadows that were, or were not, trained on the record.
func (v *View) normals(in bool) []distuv.Normal {
	q := v.Target.Queries
	out := make([]distuv.Normal, v.Len()*q)
	total := 0.0
	for at := range out {
		sum, squares, n := 0.0, 0.0, 0.0
		for _, r := range v.References {
			if r.In[at/q] == in {
				sum += r.Logit[at]
				n++
			}
		}
		mean := sum / n
		for _, r := range v.References {
			if r.In[at/q] == in {
				squares += (r.Logit[at] - mean) * (r.Logit[at] - mean)
			}
		}
		variance := squares / (n - 1)
		total += variance
		out[at] = distuv.Normal{Mu: mean, Sigma: max(math.Sqrt(variance), leastDeviation)}
	}
	if len(v.References) < ownVariance {
		shared := max(math.Sqrt(total/float64(len(out))), leastDeviation)
		for at := range out {
			out[at].Sigma = shared
		}
	}
	return out
}

// rmia is the robust attack, by pairwise likelihood ratios: the probability of the record's class, over its mean in all shadows, is compared with the
// same of other records z, and the paper's score is the part of these that it is above by a factor gamma. Whatever the z and gamma, that grows with
// the ratio: so the ratio is the score here, which orders records alike and has no ties.
func rmia(_ context.Context, v *View) ([]float64, error) {
	return v.ratios(func(i int) float64 {
		sum := 0.0
		for _, r := range v.References {
			sum += math.Exp(-r.Loss(i))
		}
		return sum / float64(len(v.References))
	})
}

// offlineSlope is a in p(x) ≈ ½((1+a)·p_OUT(x) + 1-a), which stands for the shadows trained on the record. The paper fits it for each
// data set, and has 0.3 for CIFAR-10.
const offlineSlope = 0.3

// rmiaOffline knows only shadows that were not trained on the record.
func rmiaOffline(_ context.Context, v *View) ([]float64, error) {
	return v.ratios(func(i int) float64 {
		sum, n := 0.0, 0.0
		for _, r := range v.References {
			if !r.In[i] {
				sum += math.Exp(-r.Loss(i))
				n++
			}
		}
		return ((1+offlineSlope)*sum/n + 1 - offlineSlope) / 2
	})
}

// ratios gives RMIA's scores by the probability of each record in the reference models.
func (v *View) ratios(reference func(i int) float64) ([]float64, error) {
	if err := v.enough(1); err != nil {
		return nil, err
	}
	return each(v, func(i int) float64 { return -v.Target.Loss(i) - math.Log(max(reference(i), least)) }), nil
}
