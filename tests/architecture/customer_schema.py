"""The customer's schema, transcribed from the customer's own page: the law that the models are held to.

Twenty-five tables stand in the page's data dictionary with type, nullability and key; eight stand in
its diagram alone, with the diagram's loose types. The order is the page's.
"""

DICTIONARY = """
users
    id INT NO PK
    username VARCHAR(50) NO UK
    email VARCHAR(100) NO UK
    password_hash VARCHAR(255) NO -
    role ENUM('admin','operator','viewer') NO -
    profile JSON YES -
    created_at TIMESTAMP NO -
    updated_at TIMESTAMP NO -
    is_active BOOLEAN NO -
user_sessions
    session_id VARCHAR(128) NO PK
    user_id INT NO FK
    ip_address VARCHAR(45) YES -
    user_agent TEXT YES -
    created_at TIMESTAMP NO -
    expires_at TIMESTAMP NO -
    is_active BOOLEAN NO -
user_permissions
    id INT NO PK
    user_id INT NO FK
    resource VARCHAR(100) NO -
    action VARCHAR(50) NO -
    granted BOOLEAN NO -
    created_at TIMESTAMP NO -
devices
    id INT NO PK
    device_id VARCHAR(100) NO UK
    name VARCHAR(200) NO -
    type VARCHAR(50) NO FK
    location VARCHAR(200) YES -
    specifications JSON YES -
    status ENUM('online','offline','maintenance','error') NO -
    last_seen TIMESTAMP YES -
    created_at TIMESTAMP NO -
    updated_at TIMESTAMP NO -
device_types
    id INT NO PK
    type_name VARCHAR(100) NO UK
    category VARCHAR(50) NO -
    default_config JSON YES -
    validation_rules JSON YES -
    created_at TIMESTAMP NO -
device_data
    id BIGINT NO PK
    device_id INT NO FK
    metric_name VARCHAR(100) NO -
    value DECIMAL(15,6) NO -
    unit VARCHAR(20) YES -
    metadata JSON YES -
    recorded_at TIMESTAMP NO -
    created_at TIMESTAMP NO -
device_alerts
    id INT NO PK
    device_id INT NO FK
    alert_type VARCHAR(50) NO -
    severity ENUM('low','medium','high','critical') NO -
    message TEXT NO -
    details JSON YES -
    status ENUM('active','acknowledged','resolved') NO -
    triggered_at TIMESTAMP NO -
    resolved_at TIMESTAMP YES -
vpp_resources
    id INT NO PK
    resource_id VARCHAR(100) NO UK
    name VARCHAR(200) NO -
    type ENUM('solar','wind','battery','load','generator') NO -
    capacity DECIMAL(12,3) NO -
    unit VARCHAR(10) NO -
    technical_params JSON YES -
    location VARCHAR(200) YES -
    status ENUM('active','inactive','maintenance') NO -
    created_at TIMESTAMP NO -
    updated_at TIMESTAMP NO -
vpp_resource_instances
    id INT NO PK
    resource_id INT NO FK
    current_output DECIMAL(12,3) NO -
    available_capacity DECIMAL(12,3) NO -
    operational_status ENUM('running','stopped','standby','fault') NO -
    real_time_data JSON YES -
    last_updated TIMESTAMP NO -
    created_at TIMESTAMP NO -
vpp_definitions
    id INT NO PK
    vpp_id VARCHAR(100) NO UK
    name VARCHAR(200) NO -
    description TEXT YES -
    total_capacity DECIMAL(15,3) NO -
    status ENUM('active','inactive','testing') NO -
    configuration JSON YES -
    created_at TIMESTAMP NO -
    updated_at TIMESTAMP NO -
vpp_resource_associations
    id INT NO PK
    vpp_id INT NO FK
    resource_id INT NO FK
    allocation_ratio DECIMAL(5,4) NO -
    role ENUM('primary','backup','reserve') NO -
    associated_at TIMESTAMP NO -
    updated_at TIMESTAMP NO -
vpp_operation_logs
    id BIGINT NO PK
    vpp_id INT NO FK
    operation_type VARCHAR(50) NO -
    operation_details JSON YES -
    operator_id INT YES FK
    result ENUM('success','failure','partial') NO -
    executed_at TIMESTAMP NO -
vpp_trading_strategies
    id INT NO PK
    vpp_id INT NO FK
    strategy_name VARCHAR(200) NO -
    strategy_type ENUM('arbitrage','peak_shaving','load_following','frequency_regulation') NO -
    parameters JSON YES -
    status ENUM('active','inactive','testing') NO -
    created_at TIMESTAMP NO -
    updated_at TIMESTAMP NO -
vpp_trading_records
    id BIGINT NO PK
    vpp_id INT NO FK
    strategy_id INT YES FK
    trade_type ENUM('buy','sell') NO -
    quantity DECIMAL(12,3) NO -
    price DECIMAL(10,4) NO -
    total_value DECIMAL(15,2) NO -
    market VARCHAR(50) NO -
    status ENUM('pending','executed','cancelled','failed') NO -
    trade_time TIMESTAMP NO -
    settlement_time TIMESTAMP YES -
advanced_trading_config
    id INT NO PK
    vpp_id INT NO FK
    risk_parameters JSON YES -
    optimization_settings JSON YES -
    market_preferences JSON YES -
    auto_trading_enabled BOOLEAN NO -
    created_at TIMESTAMP NO -
    updated_at TIMESTAMP NO -
arbitrage_opportunities
    id INT NO PK
    opportunity_id VARCHAR(100) NO UK
    market_pair VARCHAR(100) NO -
    price_difference DECIMAL(10,4) NO -
    potential_profit DECIMAL(12,2) NO -
    risk_score DECIMAL(5,2) NO -
    status ENUM('identified','executing','completed','expired') NO -
    identified_at TIMESTAMP NO -
    expires_at TIMESTAMP NO -
rl_models
    id INT NO PK
    model_name VARCHAR(200) NO UK
    model_type ENUM('dqn','ppo','a3c','ddpg') NO -
    model_parameters JSON YES -
    training_config JSON YES -
    performance_score DECIMAL(8,6) YES -
    status ENUM('training','deployed','deprecated') NO -
    created_at TIMESTAMP NO -
    last_trained TIMESTAMP YES -
energy_consumption
    id BIGINT NO PK
    device_id INT NO FK
    consumption DECIMAL(12,3) NO -
    unit VARCHAR(10) NO -
    cost DECIMAL(10,2) YES -
    recorded_at TIMESTAMP NO -
    created_at TIMESTAMP NO -
energy_production
    id BIGINT NO PK
    device_id INT NO FK
    production DECIMAL(12,3) NO -
    unit VARCHAR(10) NO -
    revenue DECIMAL(10,2) YES -
    recorded_at TIMESTAMP NO -
    created_at TIMESTAMP NO -
carbon_emissions
    id BIGINT NO PK
    device_id INT NO FK
    emissions DECIMAL(12,6) NO -
    calculation_method VARCHAR(50) NO -
    factors JSON YES -
    recorded_at TIMESTAMP NO -
    created_at TIMESTAMP NO -
blockchain_transactions
    id INT NO PK
    tx_hash VARCHAR(66) NO UK
    contract_address VARCHAR(42) YES -
    function_name VARCHAR(100) YES -
    parameters JSON YES -
    status ENUM('pending','confirmed','failed') NO -
    gas_used BIGINT YES -
    gas_price DECIMAL(20,0) YES -
    created_at TIMESTAMP NO -
    confirmed_at TIMESTAMP YES -
smart_contracts
    id INT NO PK
    contract_name VARCHAR(200) NO UK
    contract_address VARCHAR(42) NO UK
    abi TEXT NO -
    bytecode TEXT YES -
    network VARCHAR(50) NO -
    status ENUM('deployed','verified','deprecated') NO -
    deployed_at TIMESTAMP NO -
carbon_credits
    id INT NO PK
    credit_id VARCHAR(100) NO UK
    amount DECIMAL(12,3) NO -
    unit VARCHAR(10) NO -
    issuer VARCHAR(200) NO -
    status ENUM('active','retired','cancelled') NO -
    blockchain_tx VARCHAR(66) YES FK
    issued_at TIMESTAMP NO -
    expires_at TIMESTAMP YES -
system_config
    id INT NO PK
    config_key VARCHAR(100) NO UK
    config_value TEXT YES -
    description TEXT YES -
    category VARCHAR(50) NO -
    created_at TIMESTAMP NO -
    updated_at TIMESTAMP NO -
audit_logs
    id BIGINT NO PK
    user_id INT YES FK
    action VARCHAR(100) NO -
    resource VARCHAR(200) NO -
    old_values JSON YES -
    new_values JSON YES -
    ip_address VARCHAR(45) YES -
    created_at TIMESTAMP NO -
"""

# column, the diagram's type, key
DIAGRAM_ONLY = """
price_optimization_history
    id bigint PK
    vpp_id int FK
    original_price decimal -
    optimized_price decimal -
    improvement_percentage decimal -
    optimization_factors json -
    optimized_at timestamp -
dynamic_dispatch_history
    id bigint PK
    vpp_id int FK
    resource_allocation json -
    total_output decimal -
    efficiency_score decimal -
    market_conditions json -
    dispatch_time timestamp -
risk_hedge_records
    id int PK
    vpp_id int FK
    hedge_type string -
    hedge_amount decimal -
    hedge_cost decimal -
    status string -
    created_at timestamp -
    maturity_date timestamp -
decision_history
    id bigint PK
    model_id int FK
    input_state json -
    decision_output json -
    confidence_score decimal -
    market_context json -
    actual_outcome decimal -
    decision_time timestamp -
multi_objective_optimization
    id int PK
    vpp_id int FK
    objectives json -
    constraints json -
    solution json -
    fitness_score decimal -
    optimized_at timestamp -
adaptive_parameter_adjustments
    id bigint PK
    model_id int FK
    parameter_name string -
    old_value decimal -
    new_value decimal -
    adjustment_reason string -
    performance_impact decimal -
    adjusted_at timestamp -
market_trend_predictions
    id int PK
    market_name string -
    prediction_type string -
    prediction_data json -
    confidence_level decimal -
    prediction_time timestamp -
    target_time timestamp -
    actual_value decimal -
rl_experience_replay
    id bigint PK
    model_id int FK
    state json -
    action string -
    reward decimal -
    next_state json -
    done boolean -
    priority decimal -
    recorded_at timestamp -
"""

INDEXES = """
idx_users_email users email
idx_users_role users role
idx_user_sessions_user_id user_sessions user_id
idx_user_sessions_expires_at user_sessions expires_at
idx_devices_type devices type
idx_devices_status devices status
idx_device_data_device_id_recorded_at device_data device_id,recorded_at
idx_device_data_metric_name device_data metric_name
idx_device_alerts_device_id_status device_alerts device_id,status
idx_vpp_resources_type vpp_resources type
idx_vpp_resources_status vpp_resources status
idx_vpp_resource_instances_resource_id vpp_resource_instances resource_id
idx_vpp_trading_records_vpp_id_trade_time vpp_trading_records vpp_id,trade_time
idx_vpp_trading_records_status vpp_trading_records status
idx_energy_consumption_device_id_recorded_at energy_consumption device_id,recorded_at
idx_energy_production_device_id_recorded_at energy_production device_id,recorded_at
idx_carbon_emissions_device_id_recorded_at carbon_emissions device_id,recorded_at
idx_blockchain_transactions_status blockchain_transactions status
idx_blockchain_transactions_contract_address blockchain_transactions contract_address
idx_smart_contracts_network smart_contracts network
idx_audit_logs_user_id_created_at audit_logs user_id,created_at
idx_audit_logs_action audit_logs action
idx_system_config_category system_config category
"""


def dictionary() -> dict[str, list[tuple[str, str, bool, str]]]:
    """Return for each table: column, type, whether it may be null, key (PK, UK, FK or -)."""
    tables: dict[str, list[tuple[str, str, bool, str]]] = {}
    for line in DICTIONARY.strip().splitlines():
        if not line.startswith(" "):
            columns = tables[line] = []
            continue
        column, kind, null, key = line.split()
        columns.append((column, kind, {"YES": True, "NO": False}[null], key))
    return tables


def diagram_only() -> dict[str, list[tuple[str, str, str]]]:
    """Return for each table: column, the diagram's type, key (PK, UK, FK or -)."""
    tables: dict[str, list[tuple[str, str, str]]] = {}
    for line in DIAGRAM_ONLY.strip().splitlines():
        if not line.startswith(" "):
            columns = tables[line] = []
            continue
        column, kind, key = line.split()
        columns.append((column, kind, key))
    return tables


def indexes() -> dict[str, tuple[str, list[str]]]:
    """Return for each index by name: its table and columns."""
    rows = (line.split() for line in INDEXES.strip().splitlines())
    return {name: (table, columns.split(",")) for name, table, columns in rows}
