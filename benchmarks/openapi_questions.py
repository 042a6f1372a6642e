"""Openapi_questions: what a person may want of three services, and the operations that do it.

All are by the author of the search, so they tell how it does and not how it compares. `LOOKED_AT` was written in a
person's words from what the services are for, before the search was tried; half of it was looked at while the weights
were chosen, and all of it while the words of the same meaning were. `UNSEEN` was written after that, for operations
drawn by chance, and counted once.
"""

from __future__ import annotations

Questions = dict[str, list[tuple[str, tuple[str, ...]]]]
"""By the name of the description, as `openapi_documents` has it: question, and the names of right operations."""

LOOKED_AT: Questions = {
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

UNSEEN: Questions = {
    "stripe": [
        ("change the description of a charge that was made", ("PostChargesCharge", "PostCustomersCustomer")),
        ("call off an identity check of a person", ("PostIdentityVerificationSessionsSessionCancel",)),
        ("show me one product that we sell", ("GetProductsId",)),
        ("look up a promo code by its id", ("GetPromotionCodesPromotionCode",)),
        ("let a subscription go on without its schedule", ("PostSubscriptionSchedulesScheduleRelease",)),
        ("get one entry of a treasury transaction", ("GetTreasuryTransactionEntriesId",)),
        ("set up how the billing portal looks for customers", ("PostBillingPortalConfigurations",)),
        ("which ways to pay has a customer stored", ("GetCustomersCustomerPaymentMethods", "GetPaymentMethods")),
        ("add a shipping rate of 5 euro", ("PostShippingRates",)),
        (
            "verify a payment source with the two small amounts",
            ("PostSourcesSourceVerify", "PostCustomersCustomerSourcesIdVerify"),
        ),
        ("remove a list of blocked values from Radar", ("DeleteRadarValueListsValueList",)),
        ("read a mandate for direct debit", ("GetMandatesMandate",)),
        ("put a note into the metadata of a top-up", ("PostTopupsTopup",)),
        ("what kinds of reports are there", ("GetReportingReportTypes",)),
        ("show the lists that fraud rules use", ("GetRadarValueLists",)),
        ("money transfers that left our financial account", ("GetTreasuryOutboundTransfers",)),
        ("in test mode, pretend that a card has arrived", ("PostTestHelpersIssuingCardsCardShippingDeliver",)),
        ("get the details of a token", ("GetTokensToken",)),
        (
            "in test mode, have an outbound transfer come back",
            (
                "PostTestHelpersTreasuryOutboundTransfersOutboundTransferReturn",
                "PostTestHelpersTreasuryOutboundPaymentsIdReturn",
            ),
        ),
        ("find prices by a query", ("GetPricesSearch",)),
    ],
    "github": [
        (
            "read the custom properties that are set on a repository",
            ("repos_custom-properties-for-repos-get-repository-values",),
        ),
        ("get one team of our organization", ("teams_get-by-name",)),
        ("how is an agent task in this repository doing", ("agent-tasks_get-task-by-repo-and-id",)),
        (
            "which repositories of the organization may use Actions",
            (
                "actions_get-github-actions-permissions-organization",
                "actions_list-selected-repositories-enabled-github-actions-organization",
            ),
        ),
        ("change the value of a variable of the organization", ("actions_update-org-variable",)),
        ("turn off a workflow", ("actions_disable-workflow",)),
        ("take a self-hosted runner out of its group", ("actions_remove-self-hosted-runner-from-group-for-org",)),
        ("which commits are in this pull request", ("pulls_list-commits",)),
        ("is this token of our app still valid", ("apps_check-token",)),
        ("set the topics of a repository", ("repos_replace-all-topics",)),
        ("apps shall no longer be able to push to a protected branch", ("repos_remove-app-access-restrictions",)),
        ("public key to encrypt secrets of private registries", ("private-registries_get-org-public-key",)),
        ("how many pull requests may one person open here", ("interactions_get-pull-request-creation-cap-for-repo",)),
        (
            "limit the storage that caches of Actions take in a repository",
            ("actions_set-actions-cache-storage-limit-for-repository",),
        ),
        ("history of changes on the main branch", ("repos_list-commits",)),
        ("details of one security alert about a dependency", ("dependabot_get-alert",)),
        ("add a variable to the staging environment", ("actions_create-environment-variable",)),
        ("what are my e-mail addresses", ("users_list-emails-for-authenticated-user",)),
        (
            "on which platforms can hosted runners of the organization run",
            ("actions_get-hosted-runners-platforms-for-org",),
        ),
        ("when was a codespaces secret of the repository changed", ("codespaces_get-repo-secret",)),
    ],
    "digitalocean": [
        ("when does our certificate expire", ("certificates_get", "certificates_list")),
        ("remove a private network", ("vpcs_delete",)),
        ("throw away a storage volume", ("volumes_delete",)),
        ("change when a scheduled function runs", ("functions_update_trigger",)),
        ("run a function every night", ("functions_create_trigger",)),
        (
            "which images repositories are in the container registry",
            ("registry_list_repositoriesV2", "registry_list_repositories"),
        ),
        ("move a database to another region", ("databases_update_region",)),
        ("is the transfer of my image finished", ("imageActions_get", "imageActions_list")),
        ("bandwidth per day of several apps", ("apps_list_metrics_bandwidth_daily",)),
        ("put two more droplets behind the load balancer", ("loadBalancers_add_droplets",)),
        ("change the settings of a load balancer", ("loadBalancers_update",)),
        ("delete an image from the registry by its digest", ("registry_delete_repositoryManifest",)),
        (
            "rename a project",
            ("projects_update", "projects_patch", "projects_update_default", "projects_patch_default"),
        ),
        ("delete a TLS certificate", ("certificates_delete",)),
        (
            "how much free memory did a droplet have",
            ("monitoring_get_dropletMemoryAvailableMetrics", "monitoring_get_dropletMemoryFreeMetrics"),
        ),
        ("show one private network", ("vpcs_get",)),
        ("tag several resources at once", ("tags_assign_resources",)),
        ("which backups of the database are there", ("databases_list_backups",)),
        ("get rid of a project", ("projects_delete",)),
        ("show one uptime check", ("uptime_check_get",)),
    ],
}
