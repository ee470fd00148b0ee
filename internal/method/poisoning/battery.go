package poisoning

import (
	"context"
	"math/rand/v2"
	"slices"
)

// neighboursAsked is how many neighbours are asked for their label.
const neighboursAsked = 10

// Detectors gives all detectors with their usual settings. The neighbours of features are found by one search, those of
// inputs by another.
func Detectors(features, inputs Search) []Detector {
	return []Detector{
		ConfidentLearning{}, KNN{K: neighboursAsked, Search: features}, SpectralSignatures{}, Spectre{}, ActivationClustering{},
		TriggerPattern{}, NearDuplicates{Search: inputs}, Extremes{}, IsolationForest{}, TracIn{}, Companions{},
	}
}

// Score has detectors look at records, each with a stream of its own from the seed: what one says does not depend on which others look. Those
// that are named look, or all where names is nil; those that need checkpoints look where there are some.
func Score(ctx context.Context, detectors []Detector, names []string, r *Records, seed uint64) (scored []Scored, err error) {
	for k, d := range detectors {
		about := d.Describe()
		if names != nil && !slices.Contains(names, about.Name) || r.Checkpoints == nil && slices.Contains(about.Needs, Checkpoints) {
			continue
		}
		suspicion, err := d.Suspect(ctx, r, rand.New(rand.NewPCG(seed, uint64(k))))
		if err != nil {
			return nil, err
		}
		scored = append(scored, Scored{Detector: about.Name, Suspicion: suspicion})
	}
	return scored, nil
}
