"""Openapi_questions: what a person may want of three services, and the operations that do it.

Written in a person's words from what the services are for, before the search was tried on any of them. Those with an
even place (0, 2, …) were looked at while the search was made; those with an odd place were counted once, at its end.
"""

from __future__ import annotations

QUESTIONS: dict[str, list[tuple[str, tuple[str, ...]]]] = {
    "stripe": [
        (
            "give a customer their money back for a charge",
            ("PostRefunds", "PostChargesChargeRefunds", "PostChargesChargeRefund"),
        ),
        ("set up a new client in the billing system", ("PostCustomers",)),
        ("which invoices has this customer not paid yet", ("GetInvoices", "GetInvoicesSearch")),
        ("take a payment of 20 euro", ("PostPaymentIntents", "PostCharges")),
        (
            "stop someone's monthly plan",
            (
                "DeleteSubscriptionsSubscriptionExposedId",
                "DeleteCustomersCustomerSubscriptionsSubscriptionExposedId",
                "PostSubscriptionsSubscriptionExposedId",
            ),
        ),
        ("how much money is in our account", ("GetBalance",)),
        ("make a coupon for 10 percent off", ("PostCoupons", "PostPromotionCodes")),
        ("send money to our bank", ("PostPayouts",)),
        ("look up the details of one dispute", ("GetDisputesDispute",)),
        ("answer a dispute with evidence", ("PostDisputesDispute",)),
        ("add a product that we sell", ("PostProducts",)),
        ("change the price of a product", ("PostPricesPrice", "PostPrices", "PostProductsId")),
        ("email the bill to the customer", ("PostInvoicesInvoiceSend",)),
        ("cancel an unpaid invoice for good", ("PostInvoicesInvoiceVoid", "DeleteInvoicesInvoice")),
        ("get notified by webhook when something happens", ("PostWebhookEndpoints",)),
        ("create a page where a buyer can pay", ("PostCheckoutSessions", "PostPaymentLinks")),
        (
            "list the cards that a customer has saved",
            (
                "GetCustomersCustomerPaymentMethods",
                "GetPaymentMethods",
                "GetCustomersCustomerCards",
                "GetCustomersCustomerSources",
            ),
        ),
        ("what happened lately in the account", ("GetEvents", "GetBalanceTransactions", "GetBalanceHistory")),
        ("capture money that was only reserved", ("PostPaymentIntentsIntentCapture", "PostChargesChargeCapture")),
        ("delete a client with all their data", ("DeleteCustomersCustomer",)),
    ],
    "github": [
        ("open a new bug report in a repository", ("issues_create",)),
        ("merge a pull request", ("pulls_merge",)),
        ("who has starred the project", ("activity_list-stargazers-for-repo",)),
        ("start a workflow by hand", ("actions_create-workflow-dispatch",)),
        ("read the contents of a file", ("repos_get-content",)),
        ("close an issue", ("issues_update",)),
        ("make a new release", ("repos_create-release",)),
        ("ask somebody to look over my changes", ("pulls_request-reviewers",)),
        ("invite a person to work on the repository", ("repos_add-collaborator",)),
        ("copy a repository into my account", ("repos_create-fork",)),
        ("delete a branch", ("git_delete-ref",)),
        ("write a comment on an issue", ("issues_create-comment",)),
        ("find code that contains a word", ("search_code",)),
        (
            "get the log of a job of a run",
            ("actions_download-job-logs-for-workflow-run", "actions_download-workflow-run-logs"),
        ),
        (
            "store an encrypted secret for workflows",
            (
                "actions_create-or-update-repo-secret",
                "actions_create-or-update-org-secret",
                "actions_create-or-update-environment-secret",
            ),
        ),
        ("which tags does a repository have", ("repos_list-tags",)),
        ("create a repository in an organization", ("repos_create-in-org",)),
        ("compare two commits", ("repos_compare-commits", "repos_compare-commits-with-basehead")),
        ("remove a label from an issue", ("issues_remove-label",)),
        ("who am I logged in as", ("users_get-authenticated",)),
    ],
    "digitalocean": [
        ("start a new virtual machine", ("droplets_create",)),
        ("restart a server", ("dropletActions_post",)),
        ("which servers do I have", ("droplets_list",)),
        ("add a DNS record to a domain", ("domains_create_record",)),
        ("make a Kubernetes cluster", ("kubernetes_create_cluster",)),
        ("how much do I owe this month", ("balance_get",)),
        ("upload my public key for logins", ("sshKeys_create",)),
        ("attach more storage to a machine", ("volumeActions_post", "volumeActions_post_byId")),
        ("delete a database cluster", ("databases_destroy_cluster",)),
        ("make a backup copy of a disk", ("volumeSnapshots_create",)),
        ("block traffic to all ports except 443", ("firewalls_create", "firewalls_update", "firewalls_add_rules")),
        ("spread requests over several servers", ("loadBalancers_create",)),
        ("remove a snapshot", ("snapshots_delete",)),
        ("deploy my app again", ("apps_create_deployment",)),
        ("list the old invoices", ("invoices_list",)),
        ("which regions can I use", ("regions_list",)),
        ("add a user to a database", ("databases_add_user",)),
        ("get the kubeconfig file", ("kubernetes_get_kubeconfig",)),
        ("reserve an IP address that stays", ("reservedIPs_create", "floatingIPs_create")),
        ("group resources into a project", ("projects_create", "projects_assign_resources")),
    ],
}
"""By the name of the description, as `openapi_documents` has it: question, and the names of right operations."""
