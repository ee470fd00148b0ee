package bom

import (
	"io"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"

	"assay/internal/system"
)

// CycloneDX writes an ML-BOM of version 1.6.
func (inv *Inventory) CycloneDX(w io.Writer) error {
	about := &inv.system.About
	root := cdx.Component{BOMRef: "system", Type: cdx.ComponentTypeApplication, Name: about.Name, Description: about.Description, Supplier: organization(about.Provider)}
	tool := []cdx.Component{{Type: cdx.ComponentTypeApplication, Name: inv.Program, Version: inv.Version}}
	b := cdx.NewBOM()
	b.SerialNumber = "urn:uuid:" + inv.uuid()
	b.Metadata = &cdx.Metadata{Timestamp: inv.Time.Format(time.RFC3339), Tools: &cdx.ToolsChoice{Components: &tool}, Component: &root}
	var components []cdx.Component
	var all []string
	dependencies := []cdx.Dependency{{Ref: root.BOMRef, Dependencies: &all}}
	for i := range inv.models {
		p := &inv.models[i]
		components, all = append(components, inv.modelComponent(p)), append(all, p.id)
		if trained := inv.training(); len(trained) > 0 {
			dependencies = append(dependencies, cdx.Dependency{Ref: p.id, Dependencies: &trained})
		}
	}
	for i := range inv.data {
		p := &inv.data[i]
		components, all = append(components, dataComponent(p)), append(all, p.id)
	}
	b.Components, b.Dependencies = &components, &dependencies
	return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).SetEscapeHTML(false).EncodeVersion(b, cdx.SpecVersion1_6)
}

func organization(name string) *cdx.OrganizationalEntity {
	if name == "" {
		return nil
	}
	return &cdx.OrganizationalEntity{Name: name}
}

// training are the data that models were made from.
func (inv *Inventory) training() (ids []string) {
	for _, p := range inv.data {
		if p.role == system.Training {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// component is what models and data have in common.
func component(kind cdx.ComponentType, p *part) cdx.Component {
	c := cdx.Component{BOMRef: p.id, Type: kind, Name: p.name, Supplier: organization(p.supplier)}
	if len(p.files) > 0 { // further files are in the properties
		c.Hashes = &[]cdx.Hash{{Algorithm: cdx.HashAlgoSHA256, Value: p.files[0].SHA256}}
	}
	if p.licence != "" {
		c.Licenses = &cdx.Licenses{{Expression: p.licence}}
	}
	var properties []cdx.Property
	for _, f := range p.files {
		properties = append(properties, cdx.Property{Name: "assay:file:" + f.Path, Value: "sha256:" + f.SHA256})
	}
	for _, f := range p.facts {
		properties = append(properties, cdx.Property{Name: "assay:" + f.name, Value: f.value})
	}
	if len(properties) > 0 {
		c.Properties = &properties
	}
	if p.signature != "" {
		c.ExternalReferences = &[]cdx.ExternalReference{{Type: cdx.ERTypeAttestation, URL: p.signature, Comment: "OpenSSF Model Signing 1.0"}}
	}
	return c
}

func (inv *Inventory) modelComponent(p *part) cdx.Component {
	c := component(cdx.ComponentTypeMachineLearningModel, p)
	c.Description = p.about
	card := &cdx.MLModelCard{ModelParameters: &cdx.MLModelParameters{
		Approach: &cdx.MLModelParametersApproach{Type: cdx.MLModelParametersApproachTypeSupervised}, Task: "classification", ModelArchitecture: p.architecture,
	}}
	if p.inputs != "" {
		card.ModelParameters.Inputs = &[]cdx.MLInputOutputParameters{{Format: p.inputs}}
		card.ModelParameters.Outputs = &[]cdx.MLInputOutputParameters{{Format: p.outputs}}
	}
	var datasets []cdx.MLDatasetChoice
	for _, id := range inv.training() {
		datasets = append(datasets, cdx.MLDatasetChoice{Ref: id})
	}
	if len(datasets) > 0 {
		card.ModelParameters.Datasets = &datasets
	}
	if use := inv.system.About.IntendedUse; use != "" {
		card.Considerations = &cdx.MLModelCardConsiderations{UseCases: &[]string{use}}
	}
	c.ModelCard = card
	return c
}

func dataComponent(p *part) cdx.Component {
	c := component(cdx.ComponentTypeData, p)
	one := cdx.ComponentData{Type: cdx.ComponentDataTypeDataset, Name: p.name}
	if p.supplier != "" {
		one.Governance = &cdx.DataGovernance{Owners: &[]cdx.ComponentDataGovernanceResponsibleParty{{Organization: organization(p.supplier)}}}
	}
	c.Data = &[]cdx.ComponentData{one}
	return c
}
