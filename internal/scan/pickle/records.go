package pickle

import (
	"fmt"
	"strings"

	"assay/internal/scan"
)

// keepsRecords tells whether a text is the name of an attribute in which scikit-learn's estimators keep records that they
// were trained on, as they are: of nearest neighbours, support vector machines, Gaussian processes, kernel ridge and kernel PCA.
func keepsRecords(name []byte) bool {
	switch string(name) {
	case "_fit_X", "support_vectors_", "X_train_", "X_fit_":
		return true
	}
	return false
}

// records tells of an estimator whose state has such an attribute. Only a fitted one has it.
func (j *judge) records(g *imported, state value) {
	if state.kind() != dict || j.m.heap.node(state).flags&storedKey == 0 || !strings.HasPrefix(g.module, "sklearn.") {
		return
	}
	subject := "pickle-records" + g.String()
	if j.told[subject]++; j.told[subject] > 1 {
		return
	}
	j.add(scan.Finding{
		Rule: "pickle-records", Severity: scan.Low, Place: scan.Place{Offset: j.m.at, Node: "BUILD"},
		Message: fmt.Sprintf("A %s keeps records that it was trained on, as they are: whoever has the file can read them.", shownName(g.String())),
		Remedy:  "Pass it on only to those who may see these records, or use a model that keeps none, such as a linear one or trees.",
	})
}
