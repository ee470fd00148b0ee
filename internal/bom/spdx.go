package bom

import (
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"time"

	"assay"
	"assay/internal/system"
)

// object is an element of an SPDX document; encoding/json sorts its keys.
type object = map[string]any

const creation = "_:creation"

// SPDX writes a document of SPDX 3.0.1 with the profiles ai, dataset, software and simpleLicensing,
// in JSON-LD.
func (inv *Inventory) SPDX(w io.Writer) error {
	d := &spdx{base: "urn:uuid:" + inv.uuid() + "#", agents: map[string]string{}, licences: map[string]string{}}
	tool := d.add("Tool", "tool", object{"name": inv.Program + " " + inv.Version})
	author := d.agent(inv.system.About.Provider)
	d.graph = append([]object{{"type": "CreationInfo", "@id": creation, "specVersion": "3.0.1", "created": inv.Time.Format(time.RFC3339), "createdBy": []string{author}, "createdUsing": []string{tool}}}, d.graph...)
	root := d.add("software_Package", "system", optional(object{"name": inv.system.About.Name, "description": inv.system.About.Description, "suppliedBy": author, "software_primaryPurpose": "application"}))
	var parts, trained, tested []string
	for i := range inv.data {
		id := d.data(&inv.data[i], inv.system.About.Modality)
		parts = append(parts, id)
		switch inv.data[i].role {
		case system.Training:
			trained = append(trained, id)
		case system.Test:
			tested = append(tested, id)
		}
	}
	for i := range inv.models {
		id := d.model(&inv.models[i], inv.system)
		parts = append(parts, id)
		d.relate(id, "trainedOn", trained...)
		d.relate(id, "testedOn", tested...)
	}
	d.relate(root, "contains", parts...)
	var elements []string
	for _, o := range d.graph[1:] {
		elements = append(elements, o["spdxId"].(string))
	}
	d.add("SpdxDocument", "document", object{"name": inv.system.About.Name, "element": elements, "rootElement": []string{root},
		"profileConformance": []string{"core", "software", "ai", "dataset", "simpleLicensing"}})
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(object{"@context": "https://spdx.org/rdf/3.0.1/spdx-context.jsonld", "@graph": d.graph})
}

// spdx is a document in the making.
type spdx struct {
	base             string
	graph            []object
	agents, licences map[string]string // ids of what several elements refer to
	relations        int
}

func (d *spdx) add(kind, name string, o object) string {
	id := d.base + url.PathEscape(name)
	o["type"], o["spdxId"], o["creationInfo"] = kind, id, creation
	d.graph = append(d.graph, o)
	return id
}

// optional leaves out texts that are empty.
func optional(o object) object {
	for k, v := range o {
		if v == "" {
			delete(o, k)
		}
	}
	return o
}

// agent gives the organization of a name.
func (d *spdx) agent(name string) string {
	if name == "" {
		name = "not stated"
	}
	if d.agents[name] == "" {
		d.agents[name] = d.add("Organization", "organization-"+name, object{"name": name})
	}
	return d.agents[name]
}

func (d *spdx) relate(from, kind string, to ...string) {
	if len(to) == 0 {
		return
	}
	d.relations++
	d.add("Relationship", fmt.Sprintf("relationship-%d", d.relations), object{"from": from, "relationshipType": kind, "to": to})
}

// artefact is what models and data have in common.
func (d *spdx) artefact(p *part, purpose string) object {
	o := optional(object{"name": p.name, "description": p.about, "software_primaryPurpose": purpose})
	if p.supplier != "" {
		o["suppliedBy"] = d.agent(p.supplier)
	}
	if len(p.files) > 0 {
		o["software_packageVersion"] = "sha256-" + p.files[0].SHA256[:12]
		o["software_downloadLocation"] = (&url.URL{Path: p.files[0].Path}).String()
		var hashes []object
		for _, f := range p.files {
			hashes = append(hashes, object{"type": "Hash", "algorithm": "sha256", "hashValue": f.SHA256, "comment": f.Path})
		}
		o["verifiedUsing"] = hashes
	}
	var facts []string
	for _, f := range p.facts {
		facts = append(facts, f.name+": "+f.value)
	}
	if p.signature != "" {
		facts = append(facts, "signature (OpenSSF Model Signing 1.0): "+p.signature)
	}
	if len(facts) > 0 {
		o["comment"] = strings.Join(facts, "; ")
	}
	return o
}

func (d *spdx) licence(p *part, id string) {
	if p.licence == "" {
		return
	}
	if d.licences[p.licence] == "" {
		d.licences[p.licence] = d.add("simplelicensing_LicenseExpression", "licence-"+p.licence, object{"simplelicensing_licenseExpression": p.licence})
	}
	d.relate(id, "hasDeclaredLicense", d.licences[p.licence])
}

func (d *spdx) model(p *part, s *system.System) string {
	o := d.artefact(p, "model")
	if p.architecture != "" {
		o["ai_typeOfModel"] = []string{p.architecture}
	}
	for key, text := range map[string]string{"ai_informationAboutTraining": p.about, "ai_informationAboutApplication": s.About.IntendedUse} {
		if text != "" {
			o[key] = text
		}
	}
	id := d.add("ai_AIPackage", p.id, o)
	d.licence(p, id)
	return id
}

func (d *spdx) data(p *part, m assay.Modality) string {
	o := d.artefact(p, "data")
	kind := map[assay.Modality]string{assay.Tabular: "structured", assay.Image: "image", assay.Text: "text"}[m]
	if kind == "" {
		kind = "noAssertion"
	}
	o["dataset_datasetType"] = []string{kind}
	if len(p.files) > 0 {
		o["dataset_datasetSize"] = p.files[0].Bytes
	}
	id := d.add("dataset_DatasetPackage", p.id, o)
	d.licence(p, id)
	return id
}
