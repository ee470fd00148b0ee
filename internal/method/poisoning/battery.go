package poisoning

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
