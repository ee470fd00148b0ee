package builtin

import "assay"

// Solution is a solution that Assay provides, by name.
type Solution struct {
	Name      string
	Summary   string
	Cells     []assay.Cell
	Reference string
}

// Solutions gives all solutions: those that train a model, and those that are built around one.
func Solutions() []Solution {
	prevent := []assay.Cell{{Vulnerability: assay.Evasion, Function: assay.Prevent}}
	detect := []assay.Cell{{Vulnerability: assay.Evasion, Function: assay.Detect}}
	poisoning := []assay.Cell{{Vulnerability: assay.DataPoisoning, Function: assay.Prevent}}
	confidentiality := []assay.Cell{{Vulnerability: assay.Confidentiality, Function: assay.Prevent}}
	forgetting := []assay.Cell{{Vulnerability: assay.DataPoisoning, Function: assay.Resolve}}
	return []Solution{
		{"pgd", "adversarial training: on what PGD makes of the examples", prevent,
			"Madry et al. 2018 (arXiv:1706.06083), section 2.1"},
		{"trades", "adversarial training that weighs robustness against clean accuracy", prevent,
			"Zhang et al. 2019 (arXiv:1901.08573), equation 5"},
		{"smoothing", "a vote under noise, whose answers are certified within a radius", prevent,
			"Cohen, Rosenfeld and Kolter 2019 (arXiv:1902.02918), algorithms PREDICT and CERTIFY"},
		{"squeezing", "inputs made coarser: fewer levels, or medians; with --detect, what is answered otherwise then is refused",
			append(prevent[:1:1], detect...), "Xu, Evans and Qi 2018 (arXiv:1704.01155), sections III and V"},
		{"knn", "refuses what is far from known records at a layer", detect,
			"Sun et al. 2022 (arXiv:2204.06507), section 3; after Papernot and McDaniel 2018 (arXiv:1803.04765)"},
		{"mahalanobis", "refuses what is unlikely for all classes at a layer", detect,
			"Lee et al. 2018 (arXiv:1807.03888), section 2.1"},
		{"rejection", "refuses what the model is not confident of", detect,
			"Hendrycks and Gimpel 2017 (arXiv:1610.02136); Liu et al. 2020 (arXiv:2010.03759)"},
		{"randomisation", "inputs changed at random: resized, moved, noise", prevent,
			"Xie et al. 2018 (arXiv:1711.01991), section 3.2"},
		{"ensemble", "the mean of several models' answers", prevent,
			"Lakshminarayanan et al. 2017 (arXiv:1612.01474), section 2.4"},
		{"dpa", "a vote of networks trained on parts of the records, certified against a number of poisoned ones", poisoning,
			"Levine and Feizi 2021 (arXiv:2006.14768), section 3.1 and theorem 1; Wang, Levine and Feizi 2022 (arXiv:2202.02628), theorem 2"},
		{"gce", "training by a loss in which labels that the model does not believe weigh little", poisoning,
			"Zhang and Sabuncu 2018 (arXiv:1805.07836), equation 6"},
		{"labels", "answers of the class alone", confidentiality, "Choquette-Choo et al. 2021 (arXiv:2007.14321), which attacks it"},
		{"rounding", "probabilities rounded to a few decimals", confidentiality, "Shokri et al. 2017 (arXiv:1610.05820), section VIII"},
		{"topk", "probabilities of the most probable classes only", confidentiality, "Shokri et al. 2017 (arXiv:1610.05820), section VIII"},
		{"noise", "noise on the logits of each answer", confidentiality, "Jia et al. 2019 (arXiv:1909.10594) choose it by the attack; here it is normal"},
		{"sisa", "a vote of networks trained on shards slice by slice, so that records can be forgotten", forgetting,
			"Bourtoule et al. 2021 (arXiv:1912.03817), section IV"},
	}
}
